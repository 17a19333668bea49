"""Mnemic on a PostgreSQL server with pgvector: what stores on such a server are compared with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from data import DIMENSION

from mnemic import MemoryManager, SuppliedVectors, create_production_memory_manager
from stores.base import database_name, postgres_dsn
from stores.mnemic_embedded import Store as Embedded


class Store(Embedded):
    """Mnemic on PostgreSQL; the database is made and dropped with the server's own client."""

    durable = "WAL flushed before the answer"

    def _open(self, directory: Path) -> MemoryManager:
        self._name = database_name()
        self._psql(f"CREATE ROLE {self._name} LOGIN")
        self._psql(f"CREATE DATABASE {self._name}")
        admin = urlsplit(postgres_dsn())._replace(path=f"/{self._name}")
        host = admin.netloc.rpartition("@")[2]
        # Served by a role that may only serve, whose walls between namespaces hold.
        os.environ["POSTGRES_DSN"] = admin._replace(netloc=f"{self._name}@{host}").geturl()
        os.environ["MNEMIC_POSTGRES_ADMIN_DSN"] = admin.geturl()
        os.environ["MNEMIC_SPOOL_DIR"] = str(directory / "spool")
        return create_production_memory_manager(embedder=SuppliedVectors(DIMENSION))

    def _psql(self, statement: str) -> None:
        program = Path(os.environ.get("MNEMIC_TEST_POSTGRES_18_BIN", "")) / "psql"
        subprocess.run([program, "-qX", "-c", statement, postgres_dsn()], check=True)

    def close(self) -> None:
        """Ends the memory and drops the database."""
        super().close()
        self._psql(f"DROP DATABASE {self._name} WITH (FORCE)")
        self._psql(f"DROP ROLE {self._name}")
