"""Bytes of any size kept whole in records that no retrieval shows. Not here: what the bytes mean.

A record's metadata holds 64 KiB, so longer data is packed, cut and spread over several records of one write, which is atomic. Such
a record is marked as superseded: retrieval leaves it out, and consolidation neither merges it nor takes its text for a statement.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from mnemic import _verbs as verbs
from mnemic.exceptions import CorruptedError
from mnemic.integrations.langgraph._steps import Steps
from mnemic.models import MemoryRecord

# What the text of a record is that has nothing to say. It has no words, so search by words never meets it.
NO_TEXT = "-"
# Named as the successor of records that hold data; no record has this id.
DATA = "mnemic.langgraph.data"
# Packed bytes of one record: in base64 and with the other fields they stay below the 64 KiB of metadata.
PIECE_BYTES = 44_000
_MODEL = re.compile(r"@(\d+)-[a-z]+$")


def digest(*parts: str) -> str:
    """A short name for parts of any length, different for different parts."""
    joined = json.dumps(parts).encode()
    return hashlib.sha256(joined).hexdigest()[:40]


def split(payload: bytes) -> list[str]:
    """The payload as texts that each fit one record."""
    packed = zlib.compress(payload, 3)
    return [
        base64.b64encode(packed[start : start + PIECE_BYTES]).decode("ascii")
        for start in range(0, max(len(packed), 1), PIECE_BYTES)
    ]


def joined(pieces: Iterable[str]) -> bytes:
    """The payload of which `split` made the pieces."""
    try:
        return zlib.decompress(b"".join(base64.b64decode(piece, validate=True) for piece in pieces))
    except (ValueError, zlib.error) as error:
        raise CorruptedError(f"data: expected what was written, found something else ({error})") from error


class Hidden:
    """Makes records that hold data.

    Each gets a fixed embedding of the model's dimension, so that the embedder is never asked for one: data costs no embedding,
    however large it is.
    """

    def __init__(self, dimension: int | None) -> None:
        self._dimension = dimension

    @classmethod
    def steps(cls) -> Steps[Hidden]:
        """Asks a memory for its embedding model."""
        stats: dict[str, Any] = yield verbs.stats()
        model = stats.get("embedder")
        if model is None:
            return cls(None)
        found = _MODEL.search(str(model))
        if found is None:
            raise CorruptedError(f"embedder: expected provider/name@dimension-metric, found {model!r}")
        return cls(int(found.group(1)))

    def record(
        self,
        id: str,
        metadata: dict[str, Any],
        *,
        tags: list[str],
        path: list[str] | None = None,
        expires_at: datetime | None = None,
        expect_version: int | None = None,
    ) -> MemoryRecord:
        """A record that holds data and says nothing."""
        return MemoryRecord(
            id=id,
            text=NO_TEXT,
            metadata=metadata,
            tags=tags,
            path=path or [],
            source="langgraph",
            superseded_by=DATA,
            expires_at=expires_at,
            embedding=self._embedding(id),
            expect_version=expect_version,
        )

    def _embedding(self, id: str) -> list[float] | None:
        if self._dimension is None:
            return None
        # Spread over the axes, since many equal points are the worst case of graph indexes.
        axis = int.from_bytes(hashlib.sha256(id.encode()).digest()[:8]) % self._dimension
        vector = [0.0] * self._dimension
        vector[axis] = 1.0
        return vector
