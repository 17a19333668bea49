"""Embeddings as LangGraph configures them, as an embedder of Mnemic. Not here: the store (`store`)."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig, ensure_embeddings
from langgraph.store.base.embed import AEmbeddingsFunc, EmbeddingsFunc

from mnemic.exceptions import InvalidInputError


class EmbeddingsEmbedder:
    """LangChain embeddings, a function of texts (also an asynchronous one) or a provider's name such as
    ``"openai:text-embedding-3-small"``, for every ``create_…_memory_manager(embedder=…)``.

    ``name`` tells models apart: a memory is bound to the model that it was made with. It is the embeddings' ``model`` or their
    class's or function's name if absent.
    """

    def __init__(
        self, embed: Embeddings | EmbeddingsFunc | AEmbeddingsFunc | str, dims: int, *, name: str | None = None
    ) -> None:
        if isinstance(dims, bool) or not isinstance(dims, int) or dims < 1:
            raise InvalidInputError(f"dims: expected a number from 1, found {dims!r}", field="dims")
        self._embeddings = ensure_embeddings(embed)
        self.dimension = dims
        self.name = name or _name_of(embed)

    @classmethod
    def from_index(cls, index: IndexConfig | None) -> EmbeddingsEmbedder | None:
        """The embedder of an index's configuration; ``None`` if it names none."""
        if index is None or index.get("embed") is None:
            return None
        dims = index.get("dims")
        if dims is None:
            raise InvalidInputError("index.dims: expected the dimension of the embeddings, found none", field="index")
        return cls(index["embed"], dims)

    async def aembed(self, texts: list[str], purpose: str = "document") -> Sequence[Sequence[float]]:
        """One embedding for each text."""
        if purpose == "query":
            return [await self._embeddings.aembed_query(text) for text in texts]
        return await self._embeddings.aembed_documents(texts)


def _name_of(embed: object) -> str:
    if isinstance(embed, str):
        return embed
    named = getattr(embed, "model", None) or getattr(embed, "model_name", None)
    if isinstance(named, str):
        return named
    return str(getattr(embed, "__qualname__", None) or type(embed).__qualname__)
