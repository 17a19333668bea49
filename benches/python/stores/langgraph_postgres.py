"""LangGraph's ``PostgresStore`` with its default index (HNSW), on the server that ``MNEMIC_TEST_POSTGRES_18`` names."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from langgraph.store.postgres import PostgresStore

from stores.base import database_name, postgres_dsn
from stores.langgraph_memory import LangGraphStore


class Store(LangGraphStore):
    """``PostgresStore`` in a database of its own."""

    durable = "WAL flushed before the answer"

    def open(self, directory: Path, index: dict[str, Any]) -> None:
        """Makes the database and its tables."""
        self._stack = ExitStack()
        self._name = database_name()
        self._run(f"CREATE DATABASE {self._name}")
        dsn = urlsplit(postgres_dsn())._replace(path=f"/{self._name}").geturl()
        self.store = self._stack.enter_context(PostgresStore.from_conn_string(dsn, index=index))
        self.store.setup()

    def _run(self, statement: str) -> None:
        with psycopg.connect(postgres_dsn(), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def close(self) -> None:
        """Drops the database."""
        self._stack.close()
        self._run(f"DROP DATABASE {self._name} WITH (FORCE)")
