"""LangGraph on Mnemic: long-term memory (`MnemicStore`) and the state of threads (`MnemicSaver`). Not here: any code.

Install it with ``pip install "mnemic[langgraph]"``.
"""

from mnemic.integrations.langgraph._embeddings import EmbeddingsEmbedder
from mnemic.integrations.langgraph.checkpoint import MnemicSaver
from mnemic.integrations.langgraph.store import MnemicStore

__all__ = ["EmbeddingsEmbedder", "MnemicSaver", "MnemicStore"]
