"""A file as a memory keeps it: its head, its parts, their ids, and what may be in a path. Not here: the store (`__init__`)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_ai_harness.memory import MemoryOperation, MemorySearchMatch

from mnemic.exceptions import InvalidInputError
from mnemic.models import MemoryRecord, RetrievedRecord

# Characters of one part. Escaped as JSON each takes up to 12 bytes, within the 64 KiB of a record's metadata.
PART = 4_000
# Records in one call; a head and a receipt are written with the parts.
BATCH = 1000
_PARTS = BATCH - 2
_METADATA_CHARACTERS = 4_096
_SEGMENT = re.compile(r"[A-Za-z0-9_.-]{1,200}")


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a file beside its text. ``birth`` is the version with which it came to be, and is in the ids of its parts."""

    version: int = 0
    exists: bool = False
    birth: int = 0
    used: int = 0
    characters: int = 0
    digests: tuple[str, ...] = ()
    operation_id: str | None = None
    metadata: dict[str, str] | None = None

    def dump(self) -> dict[str, Any]:
        return {
            "exists": self.exists,
            "birth": self.birth,
            "used": self.used,
            "characters": self.characters,
            "digests": " ".join(self.digests),
            "operation_id": self.operation_id,
            "metadata": None if self.metadata is None else json.dumps(self.metadata),
        }

    @classmethod
    def load(cls, fields: dict[str, Any], version: int) -> Head:
        metadata = fields.get("metadata")
        return cls(
            version=version,
            exists=fields["exists"],
            birth=fields["birth"],
            used=fields["used"],
            characters=fields["characters"],
            digests=tuple(fields["digests"].split()),
            operation_id=fields.get("operation_id"),
            metadata=None if metadata is None else json.loads(metadata),
        )


def cut(path: str, content: str) -> list[str]:
    if len(content) > PART * _PARTS:
        raise InvalidInputError(
            f"{path}: expected at most {PART * _PARTS} characters, found {len(content)}", field="content"
        )
    return [content[start : start + PART] for start in range(0, len(content), PART)]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of records, which differ from one owner to another and are short whatever they stand for."""

    owner: str | None

    def head(self, path: str) -> str:
        return self._hashed("file", path)

    def part(self, path: str, birth: int, number: int) -> str:
        return f"{self._hashed('part', path)}/{birth}/{number}"

    def receipt(self, operation: MemoryOperation) -> str:
        return self._hashed("operation", operation.id)

    def _hashed(self, kind: str, name: str) -> str:
        whole = json.dumps([self.owner, name])
        return f"pydantic-ai/{kind}/{hashlib.sha256(whole.encode()).hexdigest()}"


def text_of(part: MemoryRecord) -> str:
    fields = part.metadata["part"]
    return str(json.loads(fields["json"])) if "json" in fields else part.text


def path_of(record: MemoryRecord) -> str:
    fields = record.metadata.get("part") or record.metadata["head"]
    return str(fields["path"])


def passage(record: RetrievedRecord, query: str, max_file_chars: int) -> tuple[str, float]:
    """What a hit shows of its file, beginning near the first word of the query, and its score."""
    fields = record.metadata.get("part")
    if fields is None:
        return "", record.score
    text = text_of(record)[: max_file_chars - fields["start"]]
    lower = text.lower()
    places = [place for term in query.lower().split() if (place := lower.find(term)) >= 0]
    return text[max(0, min(places, default=0) - 80) :], record.score


def bounded(
    passages: list[tuple[str, str, float]], prefix: str, limit: int, max_chars: int
) -> tuple[list[MemorySearchMatch], bool]:
    """One match for each file, within ``limit`` and ``max_chars``, and whether that left anything out."""
    best: dict[str, tuple[str, float]] = {}
    for path, snippet, score in passages:
        kept = best.get(path)
        if kept is None:
            best[path] = (snippet, score)
        elif not kept[0]:
            # A file found by its name shows its best passage.
            best[path] = (snippet, kept[1])
    matches: list[MemorySearchMatch] = []
    remaining, share = max_chars, max(1, max_chars // min(limit, max(1, len(best))))
    for path, (snippet, score) in list(best.items())[:limit]:
        available = remaining - len(path.removeprefix(prefix))
        if available <= 0:
            break
        shown = snippet[: min(available, share)]
        remaining = available - len(shown)
        matches.append(MemorySearchMatch(path=path, snippet=shown, score=score))
    return matches, len(best) > len(matches)


def check_path(path: str) -> None:
    segments = path.split("/")
    if not all(_SEGMENT.fullmatch(segment) and ".." not in segment and segment != "." for segment in segments):
        raise ValueError(f"invalid memory path: {path!r}")


def check_prefix(prefix: str) -> None:
    if prefix:
        check_path(prefix.removesuffix("/"))


def check_metadata(metadata: Mapping[str, str] | None) -> None:
    if not metadata:
        return
    if not all(isinstance(key, str) and isinstance(value, str) for key, value in metadata.items()):
        raise TypeError("memory metadata keys and values must be strings")
    if any("\0" in text for pair in metadata.items() for text in pair):
        raise ValueError("memory metadata keys and values must not contain NUL characters")
    length = len(json.dumps(dict(metadata), ensure_ascii=False, separators=(",", ":")))
    if length > _METADATA_CHARACTERS:
        raise ValueError(f"memory metadata is {length} characters as JSON; the limit is {_METADATA_CHARACTERS}")
