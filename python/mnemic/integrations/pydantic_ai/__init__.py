"""Store for the memory of Pydantic AI's harness. Not here: the tools that a model is given, which the harness makes.

    agent = Agent(model, capabilities=[Memory(store=MnemicMemoryStore(create_embedded_memory_manager("./memory")), namespace="anna")])

A file is one record that counts (the head: its version, its length, what was recorded with the last write) and one record for each
4,000 characters. The head, the parts that changed and the receipt of the operation are one write that expects the head's version,
so that an operation happens once and nobody's change is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic_ai_harness.memory import (
    MemoryConflictError,
    MemoryFile,
    MemoryMutation,
    MemoryOperation,
    MemoryOperationConflictError,
    MemorySearchResult,
)

from mnemic.exceptions import ConflictError, CorruptedError
from mnemic.integrations.pydantic_ai._files import (
    BATCH,
    PART,
    Head,
    Ids,
    bounded,
    check_metadata,
    check_path,
    check_prefix,
    cut,
    digest,
    passage,
    path_of,
    text_of,
)
from mnemic.manager import MemoryManager
from mnemic.models import MemoryRecord

__all__ = ["MnemicMemoryStore"]

# A reader is overtaken once by each write; this many in a row are a fault and not contention.
_ATTEMPTS = 100


class MnemicMemoryStore:
    """Versioned files in one namespace: a ``MemoryStore`` that is also searchable and records metadata with each write.

    ``memory`` is where they are kept; give them a namespace of their own, ``memory.in_namespace("notes")``, unless retrieval shall
    find them among other records. With ``user_id`` every record is that person's, so that forgetting the person forgets them.

    Searching is Mnemic's retrieval, by words and, with an embedder, by meaning: a match need not hold the query's words. Deleting
    forgets a file's text with its history; its head, which holds no text, stays, so that a version is never given out twice.
    Replacing keeps earlier text in the history. Receipts are kept for good. A file has at most 3,992,000 characters; a longer one
    is an ``InvalidInputError``.
    """

    def __init__(self, memory: MemoryManager, *, user_id: str | None = None) -> None:
        self._memory = memory
        self._user_id = user_id
        self._ids = Ids(user_id)

    async def read(self, path: str, *, max_chars: int) -> MemoryFile | None:
        """The file at ``path``, its first ``max_chars`` characters, or ``None``."""
        check_path(path)
        if max_chars <= 0:
            raise ValueError("max_chars must be positive")
        for _ in range(_ATTEMPTS):
            head = await self._head(path)
            if not head.exists:
                return None
            content = await self._content(path, head, max_chars)
            if content is not None:
                return MemoryFile(
                    content=content[:max_chars],
                    version=str(head.version),
                    operation_id=head.operation_id,
                    truncated=head.characters > max_chars,
                    metadata=head.metadata,
                )
        raise CorruptedError(f"{path}: expected the parts that the head names, found others {_ATTEMPTS} times")

    async def get_operation(self, operation: MemoryOperation) -> MemoryMutation | None:
        """What an earlier call with this operation did, or ``None``."""
        found = (await self._memory.aget([self._ids.receipt(operation)]))[0]
        if found is None:
            return None
        receipt = found.metadata["receipt"]
        if receipt["fingerprint"] != operation.fingerprint:
            raise MemoryOperationConflictError(f"operation id {operation.id!r} was reused with different arguments")
        return MemoryMutation(version=receipt.get("version"), replayed=True, existed=receipt["existed"])

    async def write(
        self,
        path: str,
        content: str,
        *,
        expected_version: str | None,
        operation: MemoryOperation | None = None,
    ) -> MemoryMutation:
        """Creates or replaces the file if its version is ``expected_version`` (``None``: there is none)."""
        return await self.write_with_metadata(
            path, content, expected_version=expected_version, metadata=None, operation=operation
        )

    async def write_with_metadata(
        self,
        path: str,
        content: str,
        *,
        expected_version: str | None,
        metadata: Mapping[str, str] | None,
        operation: MemoryOperation | None = None,
    ) -> MemoryMutation:
        """The same, and records ``metadata`` with this version."""
        check_path(path)
        check_metadata(metadata)
        texts = cut(path, content)
        head, replayed = await self._before(path, expected_version, operation)
        if replayed is not None:
            return replayed
        birth = head.birth if head.exists else head.version + 1
        after = Head(
            version=head.version + 1,
            exists=True,
            birth=birth,
            used=max(len(texts), head.used if head.exists else 0),
            characters=len(content),
            digests=tuple(digest(text) for text in texts),
            operation_id=None if operation is None else operation.id,
            metadata=dict(metadata) if metadata else None,
        )
        known = head.digests if head.exists else ()
        changed = [
            self._part(path, after, number, text)
            for number, text in enumerate(texts)
            if number >= len(known) or known[number] != after.digests[number]
        ]
        # Emptied and not removed, since a removal that comes late would take what another writer put there.
        emptied = [self._part(path, after, number, None) for number in range(len(texts), len(known))]
        mutation = MemoryMutation(version=str(after.version), replayed=False, existed=head.exists)
        records = [self._head_record(path, after, head.version), *changed, *emptied]
        return await self._commit(path, records, mutation, operation, "written")

    async def delete(
        self,
        path: str,
        *,
        expected_version: str | None,
        operation: MemoryOperation | None = None,
    ) -> MemoryMutation:
        """Deletes the file if its version is ``expected_version``, and forgets its text."""
        check_path(path)
        head, replayed = await self._before(path, expected_version, operation)
        if replayed is not None:
            return replayed
        mutation = MemoryMutation(version=None, replayed=False, existed=head.exists)
        if not head.exists and operation is None:
            return mutation
        # Which parts there were stays known, so that what a crash leaves of them is forgotten with the next change.
        after = Head(version=head.version + 1, exists=False, birth=head.birth, used=head.used)
        done = await self._commit(path, [self._head_record(path, after, head.version)], mutation, operation, "deleted")
        if head.exists and not done.replayed:
            await self._forget_parts(path, head)
        return done

    async def list_paths(self, prefix: str = "", *, limit: int) -> list[str]:
        """The paths that begin with ``prefix``, in order, at most ``limit``."""
        check_prefix(prefix)
        if limit <= 0:
            raise ValueError("limit must be positive")
        filters: dict[str, Any] = {"metadata.head.exists": True}
        directory = prefix.rpartition("/")[0]
        if directory:
            filters["metadata.head.within"] = directory
        paths = await self._paths(filters)
        return sorted(path for path in paths if path.startswith(prefix))[:limit]

    async def search(
        self,
        prefix: str,
        query: str,
        *,
        limit: int,
        max_files: int,
        max_chars: int,
        max_file_chars: int,
    ) -> MemorySearchResult:
        """The files right below ``prefix`` that are about ``query``, best first, each with the passage that is.

        ``max_files`` bounds how many files are searched, in the order of their paths, and ``max_file_chars`` how far each is.
        """
        check_prefix(prefix)
        if not query.split() or limit <= 0 or max_files <= 0 or max_chars <= 0 or max_file_chars <= 0:
            return MemorySearchResult(matches=[], scanned=0, truncated=False)
        directory = prefix.removesuffix("/")
        below = await self._paths({"metadata.head.exists": True, "metadata.head.directory": directory})
        paths = sorted(path for path in below if path.startswith(prefix))
        searched = set(paths[:max_files])
        filters = {
            "or": [
                {"metadata.head.exists": True, "metadata.head.directory": directory},
                {"metadata.part.directory": directory, "metadata.part.start": {"lt": max_file_chars}},
            ]
        }
        wanted = min(BATCH, max(100, 4 * limit))
        found = await self._memory.aretrieve(query, self._user_id, wanted, filters)
        passages = [
            (path, *passage(record, query, max_file_chars)) for record in found if (path := path_of(record)) in searched
        ]
        matches, cut = bounded(passages, prefix, limit, max_chars)
        longer = await self._longer(sorted(searched), max_file_chars)
        return MemorySearchResult(
            matches=matches, scanned=len(searched), truncated=cut or longer or len(paths) > len(searched)
        )

    async def _before(
        self, path: str, expected_version: str | None, operation: MemoryOperation | None
    ) -> tuple[Head, MemoryMutation | None]:
        """The head that a change starts from, or what the operation did before."""
        if operation is not None and (receipt := await self.get_operation(operation)) is not None:
            return Head(), receipt
        head = await self._head(path)
        if (str(head.version) if head.exists else None) != expected_version:
            # It may have changed by this very operation, after its receipt was asked for.
            if operation is not None and (receipt := await self.get_operation(operation)) is not None:
                return Head(), receipt
            raise MemoryConflictError(f"memory path {path!r} changed before it could be written or deleted")
        if not head.exists:
            await self._forget_parts(path, head)
        return head, None

    async def _forget_parts(self, path: str, head: Head) -> None:
        """Forgets the text of a file that is deleted. A file that comes after it has parts with other ids."""
        if head.used:
            await self._memory.aforget(ids=[self._ids.part(path, head.birth, number) for number in range(head.used)])

    async def _commit(
        self,
        path: str,
        records: list[MemoryRecord],
        mutation: MemoryMutation,
        operation: MemoryOperation | None,
        done: str,
    ) -> MemoryMutation:
        if operation is not None:
            records = [*records, self._receipt(operation, mutation)]
        try:
            await self._memory.awrite(records)
        except ConflictError as error:
            # Somebody else was first, perhaps with this very operation.
            if operation is not None and (receipt := await self.get_operation(operation)) is not None:
                return receipt
            raise MemoryConflictError(f"memory path {path!r} changed before it could be {done}") from error
        return mutation

    async def _head(self, path: str) -> Head:
        found = (await self._memory.aget([self._ids.head(path)]))[0]
        return Head() if found is None else Head.load(found.metadata["head"], found.version)

    async def _content(self, path: str, head: Head, wanted: int) -> str | None:
        """The beginning of a file, or ``None`` if it is not what the head says any more."""
        digests = head.digests[: -(-wanted // PART)]
        if not digests:
            return ""
        found = await self._memory.aget([self._ids.part(path, head.birth, number) for number in range(len(digests))])
        texts = ["" if record is None else text_of(record) for record in found]
        return "".join(texts) if tuple(map(digest, texts)) == digests else None

    async def _paths(self, filters: dict[str, Any]) -> list[str]:
        found: list[str] = []
        after: str | None = None
        while True:
            page = await self._memory.alist(filters=filters, user_id=self._user_id, limit=BATCH, after=after)
            found.extend(record.metadata["head"]["path"] for record in page.items)
            after = page.next
            if after is None:
                return found

    async def _longer(self, paths: list[str], characters: int) -> bool:
        for start in range(0, len(paths), BATCH):
            heads = await self._memory.aget(map(self._ids.head, paths[start : start + BATCH]))
            if any(head is not None and head.metadata["head"]["characters"] > characters for head in heads):
                return True
        return False

    def _head_record(self, path: str, head: Head, expected: int) -> MemoryRecord:
        directory = path.rpartition("/")[0]
        segments = directory.split("/") if directory else []
        within = ["/".join(segments[: depth + 1]) for depth in range(len(segments))]
        fields = {**head.dump(), "path": path, "directory": directory, "within": within}
        return MemoryRecord(
            id=self._ids.head(path),
            user_id=self._user_id,
            text=path,
            metadata={"head": fields},
            source="pydantic-ai",
            expect_version=expected,
        )

    def _part(self, path: str, head: Head, number: int, text: str | None) -> MemoryRecord:
        fields: dict[str, Any] = {
            "path": path,
            "directory": path.rpartition("/")[0],
            "start": number * PART,
        }
        shown = "" if text is None else text.replace("\0", " ").encode("utf-8", "replace").decode()
        if shown != text or not shown.strip():
            # A record's text is neither blank nor has it every character.
            fields["json"] = json.dumps(text or "")
        return MemoryRecord(
            id=self._ids.part(path, head.birth, number),
            user_id=self._user_id,
            text=shown if shown.strip() else "(blank)",
            metadata={"part": fields},
            source="pydantic-ai",
            expires_at=datetime.now(UTC) if text is None else None,
        )

    def _receipt(self, operation: MemoryOperation, mutation: MemoryMutation) -> MemoryRecord:
        fields = {
            "fingerprint": operation.fingerprint,
            "version": mutation.version,
            "existed": mutation.existed,
        }
        return MemoryRecord(
            id=self._ids.receipt(operation),
            user_id=self._user_id,
            text="receipt of an operation",
            metadata={"receipt": fields},
            source="pydantic-ai",
            expect_version=0,
        )
