"""Fixtures of all tests: memories on the three kinds of backend, and what they need. Not here: making servers (`worlds`).

Programs that only test one integration have few packages, so what only some fixtures need is imported in them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import worlds

import mnemic
from mnemic import MemoryManager


@pytest.fixture(scope="session")
def server() -> str:
    """PostgreSQL 18 with pgvector: a superuser's DSN. Without one tests skip, or fail where it is required."""
    server = os.environ.get(worlds.ADDRESS)
    if server:
        return server
    why = f"{worlds.ADDRESS} names no server"
    if worlds.required(worlds.SERVICE):
        pytest.fail(f"{why}, and MNEMIC_REQUIRE wants {worlds.SERVICE}")
    pytest.skip(why)


@pytest.fixture(scope="session")
def postgres(server: str) -> Iterator[worlds.Database]:
    """The database that tests share; each has a namespace of its own in it."""
    with worlds.database(server) as database:
        yield database


@pytest.fixture
def new_database(server: str) -> Iterator[worlds.Database]:
    """A database of the test's own."""
    with worlds.database(server) as database:
        yield database


@pytest.fixture(scope="session")
def stand_ins() -> Iterator[Callable[..., dict[str, str]]]:
    """Runs vendors' stand-ins, one of each for the session, and gives the variables that lead to them."""
    with ExitStack() as running:
        known: dict[str, dict[str, str]] = {}

        def of(*vendors: str) -> dict[str, str]:
            for vendor in vendors:
                if vendor not in known:
                    known[vendor] = running.enter_context(worlds.stand_in(vendor))
            return {name: value for vendor in vendors for name, value in known[vendor].items()}

        yield of


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing of this machine decides about memories: no variable, no ``.env``, no settings file."""
    for name in list(os.environ):
        if worlds.decides(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.fixture
def production(
    request: pytest.FixtureRequest,
    isolated: pytest.MonkeyPatch,
    tmp_path: Path,
    new_database: worlds.Database,
    stand_ins: Callable[..., dict[str, str]],
) -> worlds.Database:
    """The environment of a production memory with an empty database: that of the guide, or what the parameter names."""
    vendors, more = worlds.PRODUCTIONS[getattr(request, "param", "pinecone and voyage")]
    for name, value in new_database.environment(tmp_path, **stand_ins(*vendors), **more).items():
        isolated.setenv(name, value)
    return new_database


def fresh_namespace() -> str:
    """A namespace that no other test has."""
    return f"t-{secrets.token_hex(8)}"


@pytest.fixture(params=["dev", "embedded", "postgres"])
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of backend."""
    return str(request.param)


@pytest.fixture
def open_memory(
    backend: str, isolated: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., MemoryManager]]:
    """Opens memories of the backend; those of one test share what is durable. They are closed at the end."""
    namespace, opened = fresh_namespace(), []
    if backend == "postgres":
        database: worlds.Database = request.getfixturevalue("postgres")
        for name, value in database.environment(tmp_path, MNEMIC_INDEX="pgvector", MNEMIC_EMBEDDER="static").items():
            isolated.setenv(name, value)

    def open_one(**given: Any) -> MemoryManager:
        given.setdefault("namespace", namespace)
        if backend == "dev":
            memory = mnemic.create_dev_memory_manager(**given)
        elif backend == "embedded":
            memory = mnemic.create_embedded_memory_manager(tmp_path / "memory", **given)
        else:
            memory = mnemic.create_production_memory_manager(**given)
        opened.append(memory)
        return memory

    yield open_one
    for memory in opened:
        memory.close()


@pytest.fixture
def memory(open_memory: Callable[..., MemoryManager]) -> MemoryManager:
    """A memory of the backend, empty."""
    return open_memory()
