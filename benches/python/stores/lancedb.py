"""LanceDB in a directory, without a vector index: at this size it compares every row, as its documentation advises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lancedb
import numpy
import pyarrow
from data import DIMENSION, TOP

_SCHEMA = pyarrow.schema(
    [
        ("id", pyarrow.string()),
        ("user_id", pyarrow.string()),
        ("thread_id", pyarrow.string()),
        ("text", pyarrow.string()),
        ("tags", pyarrow.list_(pyarrow.string())),
        ("metadata", pyarrow.string()),
        ("vector", pyarrow.list_(pyarrow.float32(), DIMENSION)),
    ]
)


class Store:
    """One table."""

    durable = "no fsync: in the page cache"

    def __init__(self, directory: Path) -> None:
        self._table = lancedb.connect(directory).create_table("memories", schema=_SCHEMA)

    def prepare(self, records: list[dict[str, Any]], vectors: list[list[float]]) -> Any:
        """An Arrow table."""
        columns = {
            name: [record[name] for record in records] for name in ("id", "user_id", "thread_id", "text", "tags")
        }
        flat = pyarrow.array(numpy.array(vectors, dtype=numpy.float32).ravel())
        columns["metadata"] = [json.dumps(record["metadata"]) for record in records]
        vector = pyarrow.FixedSizeListArray.from_arrays(flat, DIMENSION)
        return pyarrow.table({**columns, "vector": vector}, schema=_SCHEMA)

    def insert(self, prepared: Any) -> None:
        """One call."""
        self._table.add(prepared)

    def prepare_query(self, text: str, vector: list[float]) -> Any:
        """An array."""
        return numpy.array(vector, dtype=numpy.float32)

    def search(self, query: Any) -> list[str]:
        """The ids of the ten best."""
        found = self._table.search(query).distance_type("cosine").limit(TOP).to_list()
        return [row["id"] for row in found]

    def search_user(self, query: Any, user_id: str) -> list[str]:
        """The ids of the ten best of a user."""
        search = self._table.search(query).distance_type("cosine").where(f"user_id = '{user_id}'", prefilter=True)
        return [row["id"] for row in search.limit(TOP).to_list()]

    def list_user(self, user_id: str) -> int:
        """Every row of a user as dictionaries, without its embedding."""
        names = [name for name in _SCHEMA.names if name != "vector"]
        search = self._table.search().where(f"user_id = '{user_id}'").select(names)
        return len(search.limit(1000).to_list())

    def close(self) -> None:
        """Nothing to end."""
