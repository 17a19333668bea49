"""A LlamaIndex chat that remembers across sessions, offline: a scripted model, a memory in a directory.

Run: pip install "mnemic[llama-index]" && python llama_index_memory.py
"""

from tempfile import TemporaryDirectory

from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import Memory

from mnemic import create_embedded_memory_manager
from mnemic.integrations.llama_index import MnemicMemoryBlock

with TemporaryDirectory() as directory, create_embedded_memory_manager(directory) as memory:
    block = MnemicMemoryBlock(memory=memory, user_id="anna")

    # So few tokens that what is said soon leaves the short-term memory, and goes into the block.
    monday = Memory.from_defaults(session_id="monday", token_limit=60, token_flush_size=10, memory_blocks=[block])
    engine = SimpleChatEngine.from_defaults(llm=MockLLM(max_tokens=8), memory=monday)
    for text in (
        "My receipt number is MSC2190000001.",
        "I live in Austin and work in Dallas.",
        "That is all for today.",
    ):
        engine.chat(text)

    friday = Memory.from_defaults(session_id="friday", memory_blocks=[block])
    memory.set_rmt("friday", {"goal": "file the I-485"})
    print("what the model is given on friday:")
    for message in friday.get("What was my receipt number?"):
        print(f"{message.role.value}: {message.content}")
