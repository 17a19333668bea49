"""A LangChain ``Embeddings`` object as the embedder of a memory. Not here: batches and retries, which are the engine's."""

from __future__ import annotations

import asyncio

from langchain_core.embeddings import Embeddings

# What the classes of LangChain's partners call the model's name, the most exact one first.
_NAMES = ("model", "model_name", "model_id", "deployment")


def _name(embeddings: Embeddings) -> str:
    kind = type(embeddings).__qualname__
    model = next(
        (value for name in _NAMES if isinstance(value := getattr(embeddings, name, None), str) and value), None
    )
    return kind if model is None else f"{kind}:{model}"


class LangChainEmbedder:
    """Makes embeddings for a memory by a LangChain ``Embeddings`` object: ``create_embedded_memory_manager(path, embedder=…)``.

    ``name`` is the identity of the model: a memory on disk refuses to be opened with another one. If absent, it is the object's class
    and the model that it names. ``dimension`` is how many numbers an embedding has; if absent, one text is embedded to find out.
    """

    def __init__(self, embeddings: Embeddings, *, name: str | None = None, dimension: int | None = None) -> None:
        self.embeddings = embeddings
        self.name = _name(embeddings) if name is None else name
        self.dimension = dimension

    async def aembed(self, texts: list[str], purpose: str = "document") -> list[list[float]]:
        """One embedding for each text; an empty one where the model answers with nothing but zeros, which have no direction."""
        # The synchronous methods, on a thread: clients of the asynchronous ones belong to the loop that they were first used on, and
        # a memory that is used both ways calls from several.
        if purpose == "query":
            made = await asyncio.to_thread(lambda: [self.embeddings.embed_query(text) for text in texts])
        else:
            made = await asyncio.to_thread(self.embeddings.embed_documents, texts)
        return [vector if any(vector) else [] for vector in made]
