"""The retriever. Not here: keeping documents (`_vector_store`)."""

from __future__ import annotations

import logging
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from mnemic.integrations.langchain._documents import as_hit
from mnemic.manager import MemoryManager
from mnemic.models import Mode, Retrieval

_LOG = logging.getLogger(__name__)


class MnemicRetriever(BaseRetriever):
    """Finds what a memory knows about a question: ``MnemicRetriever(memory=…, user_id="anna").invoke("when is the reply due?")``.

    A document's text is the record's; its metadata has the record's fields (``id``, ``type``, ``tags``, ``created_at``, …), its
    ``score`` between 0 and 1, the cosine ``similarity`` where search by meaning found it, and under ``metadata`` the record's own.
    ``k``, ``user_id``, ``filters`` and ``mode`` may be given to ``invoke`` in place of the retriever's. Where the answer may be less
    than it could be, such as with an embedder that fails, the reason is logged as a warning.

    Errors are the memory's, such as ``InvalidInputError`` for a filter that is wrong.
    """

    # An argument that is ignored, such as a misspelt `user_id`, would show everybody's records.
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    memory: MemoryManager = Field(exclude=True, repr=False)
    """Where to look."""

    k: int = 4
    """How many documents at most, 1 to 1000."""

    user_id: str | None = None
    """Whose records; everybody's in the namespace if absent."""

    filters: dict[str, Any] | None = None
    """Conditions on fields, such as ``{"tags": ["legal"], "metadata.form": "I-485"}``."""

    mode: Mode = "hybrid"
    """``hybrid``, ``dense`` (by meaning) or ``lexical`` (by words)."""

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        user_id: str | None = None,
        filters: dict[str, Any] | None = None,
        mode: Mode | None = None,
    ) -> list[Document]:
        found = self.memory.retrieve(query, **self._request(k, user_id, filters, mode))
        return _documents(found)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        user_id: str | None = None,
        filters: dict[str, Any] | None = None,
        mode: Mode | None = None,
    ) -> list[Document]:
        found = await self.memory.aretrieve(query, **self._request(k, user_id, filters, mode))
        return _documents(found)

    def _request(
        self, k: int | None, user_id: str | None, filters: dict[str, Any] | None, mode: Mode | None
    ) -> dict[str, Any]:
        return {
            "topk": self.k if k is None else k,
            "user_id": self.user_id if user_id is None else user_id,
            "filters": self.filters if filters is None else filters,
            "mode": self.mode if mode is None else mode,
        }


def _documents(found: Retrieval) -> list[Document]:
    for reason in found.degraded:
        _LOG.warning("retrieval may have missed something: %s", reason)
    return [as_hit(record) for record in found]
