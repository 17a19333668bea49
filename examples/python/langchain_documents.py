"""Documents and memories in LangChain, offline: a vector store in a directory, and a retriever over the same memory in a chain.

Run: pip install "mnemic[langchain]" && python langchain_documents.py
"""

from tempfile import TemporaryDirectory

from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from mnemic.integrations.langchain import MnemicRetriever, MnemicVectorStore


def as_prompt(found: list[Document]) -> str:
    return "\n".join(f"[{document.metadata['user_id']}] {document.page_content}" for document in found)


with TemporaryDirectory() as directory:
    # With an `Embeddings` object as the second argument, that model is used in place of the built-in one.
    store = MnemicVectorStore.embedded(directory)
    store.add_texts(
        ["The premium processing fee is $2,805.", "The interview takes place in Austin in July."],
        [{"form": "I-140"}, {"form": "I-485"}],
    )
    print("by meaning:", store.similarity_search("how much does it cost?", k=1)[0].page_content)
    print("by metadata:", store.similarity_search("what happens?", filter={"form": "I-485"})[0].page_content)

    store.memory.write([{"text": "Anna lives in Austin.", "user_id": "anna"}])
    chain = MnemicRetriever(memory=store.memory, user_id="anna") | RunnableLambda(as_prompt)
    print("what the chain sees:", chain.invoke("where does she live?"))
    store.memory.close()
