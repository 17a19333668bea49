"""One memory in a process of its own: obeys one command a line on standard input and answers each with a line of JSON.

``fill`` opens a memory with the records of many users, ``insert ROUND COUNT`` times inserting 1,000 records of one user into a new
one, then listing them and COUNT single writes, ``search FROM COUNT`` times questions. Not here: whose turn it is (`peers`).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import data
from stores.base import Store
from timing import Readings

RECORDS = 1_000
QUERIES = 60
ONE_USER = "everyone"


class Worker:
    """A memory under measurement and what it is given."""

    def __init__(self, name: str, directory: Path, size: int) -> None:
        self._kind = importlib.import_module(f"stores.{name}").Store
        self._directory = directory
        self._data = data.make(size, QUERIES, vectors=True)
        self._filled: Store | None = None
        self._queries: list[Any] = []

    def _open(self, name: str) -> Store:
        store: Store = self._kind(self._directory / name)
        # The first write makes files and tables; what is measured is writing, not creating.
        first = {**self._data.records[0], "id": "first", "user_id": "nobody", "text": "the first record"}
        store.insert(store.prepare([first], [[-component for component in self._data.vectors[0]]]))
        return store

    def fill(self) -> dict[str, Any]:
        """Fills the memory that questions are asked of."""
        store = self._open("filled")
        for start in range(0, len(self._data.records), RECORDS):
            part = slice(start, start + RECORDS)
            store.insert(store.prepare(self._data.records[part], self._data.vectors[part]))
        asked = zip(self._data.queries, self._data.query_vectors, strict=True)
        self._queries = [store.prepare_query(text, vector) for text, vector in asked]
        self._filled = store
        return {}

    def insert(self, number: int, count: int) -> dict[str, Any]:
        """Inserts into a new memory, lists it, and writes single records."""
        store = self._open(f"round-{number}")
        insert, listing, single = Readings(), Readings(), Readings()
        records = [{**record, "user_id": ONE_USER} for record in self._data.records[:RECORDS]]
        prepared = store.prepare(records, self._data.vectors[:RECORDS])
        insert.time(lambda: store.insert(prepared))
        for _ in range(3):
            listed = listing.time(lambda: store.list_user(ONE_USER))
            if listed != RECORDS:
                raise AssertionError(f"expected {RECORDS} records in the list, found {listed}")
        for n in range(count):
            record = {**records[n], "id": f"single-{n}", "text": f"{n} {records[n]['text']}", "user_id": "someone"}
            one = store.prepare([record], [self._data.vectors[n]])
            single.time(lambda one=one: store.insert(one))
        store.close()
        return {"insert": insert.as_dict(), "list": listing.as_dict(), "single": single.as_dict()}

    def search(self, begin: int, count: int) -> dict[str, Any]:
        """Asks questions, of everyone's records and of one user's."""
        assert self._filled is not None
        everyone, one, ids, own = Readings(), Readings(), [], []
        for n in range(begin, begin + count):
            query = self._queries[n % QUERIES]
            ids.append(everyone.time(lambda query=query: self._filled.search(query)))
            own.append(one.time(lambda query=query: self._filled.search_user(query, data.FILTERED_USER)))
        return {"search": everyone.as_dict(), "filtered": one.as_dict(), "ids": ids, "own": own}

    def obey(self, words: list[str]) -> dict[str, Any]:
        """Runs one command."""
        match words:
            case ["fill"]:
                return self.fill()
            case ["insert", number, count]:
                return self.insert(int(number), int(count))
            case ["search", begin, count]:
                return self.search(int(begin), int(count))
            case ["durable"]:
                return {"durable": self._kind.durable}
            case ["close"]:
                if self._filled is not None:
                    self._filled.close()
                return {}
        raise ValueError(f"expected a command, found {words}")


def main() -> None:
    """Serves until standard input ends. Libraries may print what they like; answers go to a copy of standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, size = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as directory:
        worker = Worker(name, Path(directory), int(size))
        for line in sys.stdin:
            print(json.dumps(worker.obey(line.split())), file=answers, flush=True)


if __name__ == "__main__":
    main()
