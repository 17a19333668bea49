"""What tests talk to: a PostgreSQL database of their own and stand-ins for vendors. Not here: the fixtures (`conftest`)."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

ADDRESS = "MNEMIC_TEST_POSTGRES_18"
SERVICE = "postgres-18"
# What decides about a memory and must come from a test alone.
DECIDING = (
    "ENV",
    "POSTGRES_DSN",
    "PINECONE_API_KEY",
    "QDRANT_API_KEY",
    "VOYAGE_API_KEY",
    "GEMINI_API_KEY",
    "OPENAI_API_KEY",
)

# Kinds of production: the vendors whose stand-ins they need, and what has to be said besides.
PRODUCTIONS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "pinecone and voyage": (("pinecone", "voyage"), {}),
    "pgvector and the built-in model": ((), {}),
    "qdrant and openai": (("qdrant", "openai"), {"MNEMIC_INDEX": "qdrant"}),
}


def decides(name: str) -> bool:
    """Whether a variable of the environment would decide about a memory."""
    return (name.startswith("MNEMIC_") and not name.startswith(("MNEMIC_TEST_", "MNEMIC_REQUIRE"))) or name in DECIDING


def required(service: str) -> bool:
    """Whether ``MNEMIC_REQUIRE`` lists a service, so that its absence is a failure."""
    return service in [name.strip() for name in os.environ.get("MNEMIC_REQUIRE", "").split(",")]


@dataclass(frozen=True)
class Database:
    """An empty database: the superuser's DSN for the schema, and that of a role which may only serve."""

    admin: str
    serving: str
    password: str

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """What makes a production memory of it, in the form that the guide shows."""
        return {
            "ENV": "production",
            "POSTGRES_DSN": self.serving,
            "MNEMIC_POSTGRES_ADMIN_DSN": self.admin,
            "MNEMIC_SPOOL_DIR": str(home / "spool"),
            "HOME": str(home),
            # Stand-ins outlive databases, and a new database begins with an empty index.
            "MNEMIC_PINECONE_INDEX": f"t{secrets.token_hex(6)}",
            "MNEMIC_QDRANT_COLLECTION": f"t{secrets.token_hex(6)}",
            **more,
        }


@contextmanager
def database(server: str) -> Iterator[Database]:
    """Makes a database and a login role on the server of a superuser's DSN in URL form; both are gone at the end."""
    import psycopg
    from psycopg import sql

    name, role = f"mnemic_py_{secrets.token_hex(6)}", f"mnemic_py_{secrets.token_hex(6)}"
    # With characters that a URL has to escape.
    password = f"p@ss/{secrets.token_hex(6)}"
    parts = urlsplit(server)
    host = parts.netloc.rpartition("@")[2]

    def run(*statements: sql.Composed) -> None:
        with psycopg.connect(server, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    named, as_role = sql.Identifier(name), sql.Identifier(role)
    run(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(as_role, sql.Literal(password)),
        sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(named),
    )
    try:
        yield Database(
            admin=urlunsplit(parts._replace(path=f"/{name}")),
            serving=f"postgresql+asyncpg://{role}:{quote(password, safe='')}@{host}/{name}",
            password=password,
        )
    finally:
        run(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(named),
            sql.SQL("DROP ROLE IF EXISTS {}").format(as_role),
        )


def clean(**more: str) -> dict[str, str]:
    """This process's environment without what decides about a memory, and more."""
    return {name: value for name, value in os.environ.items() if not decides(name)} | more


@contextmanager
def stand_in(vendor: str) -> Iterator[dict[str, str]]:
    """Runs a vendor's stand-in and gives the variables that lead to it."""
    command = [sys.executable, "-m", "mnemic", "dev", "stand-in", vendor, "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean())
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert told, f"the stand-in for {vendor} did not start"
        yield json.loads(told)["data"]["environment"]
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_python(
    *arguments: str, env: dict[str, str], cwd: Path, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Runs this interpreter to its end."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=env, cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False)
