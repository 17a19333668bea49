"""LangChain: a retriever and a vector store over a memory. Not here: agents' own stores and checkpoints (`langgraph`).

``pip install mnemic[langchain]``. :class:`MnemicRetriever` finds what a memory knows; :class:`MnemicVectorStore` also keeps documents
in it. :class:`LangChainEmbedder` makes a LangChain ``Embeddings`` object the embedder of any memory.
"""

from mnemic.integrations.langchain._embedder import LangChainEmbedder
from mnemic.integrations.langchain._retriever import MnemicRetriever
from mnemic.integrations.langchain._vector_store import MnemicVectorStore

__all__ = ["LangChainEmbedder", "MnemicRetriever", "MnemicVectorStore"]
