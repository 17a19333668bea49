"""Importing what other systems hold: each system, as its package registry has it, writes a small memory, the command line of this
package imports it, and retrieval finds it again. Not here: every detail of each format (`crates/mnemic-cli/tests/importers.rs`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import systems

from mnemic import MemoryManager, create_embedded_memory_manager
from mnemic.integrations.langgraph import MnemicStore
from mnemic.integrations.langgraph._items import item_id

Import = Callable[..., dict[str, Any]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the memory lies."""
    return tmp_path / "memory"


@pytest.fixture
def run_import(place: Path, isolated: pytest.MonkeyPatch) -> Import:
    """The console script's `import`, which answers the whole envelope."""

    def run(source: Path | str, *more: str, namespace: str | None = None) -> dict[str, Any]:
        into = [] if namespace is None else ["-n", namespace]
        command = [
            sys.executable,
            "-m",
            "mnemic",
            "--json",
            "--dir",
            str(place),
            *into,
            "import",
            str(source),
            *more,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        return dict(json.loads(done.stdout))

    return run


@pytest.fixture
def open_namespace(place: Path) -> Iterator[Callable[[str], MemoryManager]]:
    """The imported memory."""
    opened: list[MemoryManager] = []

    def open_one(namespace: str = "default") -> MemoryManager:
        opened.append(create_embedded_memory_manager(place, namespace=namespace))
        return opened[-1]

    yield open_one
    for memory in opened:
        memory.close()


def counts(envelope: dict[str, Any]) -> tuple[int, int]:
    """Records that were new, and rows that were refused."""
    data = envelope["data"]
    return data["total"]["new"], data["refused"]


def assert_nothing_changes(envelope: dict[str, Any]) -> None:
    """The same import again."""
    total = envelope["data"]["total"]
    assert (total["new"], total["replaced"], total.get("events", 0)) == (0, 0, 0)


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The MCP memory server from npm. Without Node these tests skip, or fail where it is required."""
    npm = shutil.which("npm")
    if npm is None:
        if "node" in os.environ.get("MNEMIC_REQUIRE", "").split(","):
            pytest.fail("npm is not there, and MNEMIC_REQUIRE wants node")
        pytest.skip("npm is not there")
    place = tmp_path_factory.mktemp("node")
    install = [npm, "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", systems.MCP_MEMORY]
    subprocess.run(install, cwd=place, check=True)
    return place


def test_the_mcp_memory_server(
    tmp_path: Path, node_modules: Path, run_import: Import, open_namespace: Callable[[], MemoryManager]
) -> None:
    file = systems.mcp_memory(tmp_path, node_modules)
    envelope = run_import(file)
    assert envelope["data"]["format"] == "mcp-memory"
    assert counts(envelope) == (5, 0)
    memory = open_namespace()
    best = memory.retrieve("who drinks green tea")[0]
    assert best.metadata["observations"] == [systems.FACTS["tea"]]
    assert memory.retrieve("which night train", topk=1)[0].text == f"Night train (event)\n- {systems.FACTS['train']}"
    assert "Marta is a friend of Беата" in [hit.text for hit in memory.retrieve("Marta friend of Беата", topk=3)]
    memory.close()
    assert_nothing_changes(run_import(file))


def test_mem0_and_its_history(tmp_path: Path, run_import: Import, open_namespace: Callable[[], MemoryManager]) -> None:
    export, history = systems.mem0(tmp_path)
    memories = json.loads(export.read_text())["results"]
    envelope = run_import(export)
    assert envelope["data"]["format"] == "mem0"
    assert counts(envelope) == (len(memories), 0) == (2, 0)
    envelope = run_import(history)
    assert envelope["data"]["format"] == "mem0-history"
    # Three additions, an update, a deletion.
    assert envelope["data"]["total"]["events"] == 5
    memory = open_namespace()
    for said in memories:
        best = memory.retrieve(said["memory"], user_id="marta")[0]
        assert (best.id, best.text, best.thread_id) == (said["id"], said["memory"], said["run_id"])
        assert best.metadata["topic"] == said["metadata"]["topic"]
        assert best.metadata["agent_id"] == "butler"
        assert best.provenance is not None
        assert len(best.provenance.events) == (2 if "ten" in best.text else 1)
    changed = next(said for said in memories if "ten" in said["memory"])
    events = [entry.event for entry in memory.events(thread_id=f"mem0:{changed['id']}").items]
    assert [(event.action, event.payload.get("old_memory")) for event in events if event] == [
        ("memory.added", None),
        ("memory.updated", systems.FACTS["train"]),
    ]
    assert not memory.retrieve("помидоры", mode="lexical")
    memory.close()
    for source in (export, history):
        assert_nothing_changes(run_import(source))


def langgraph_items(store: Any) -> dict[tuple[tuple[str, ...], str], dict[str, Any]]:
    """Everything that a store holds."""
    return {(item.namespace, item.key): item.value for item in store.search((), limit=100)}


def assert_same_store(place: Path, original: Any) -> None:
    """The imported store answers what the original does, is found by what that is found by, and can be gone on with."""
    with MnemicStore.embedded(place, namespace="lg", index={"fields": ["text"]}) as store:
        assert langgraph_items(store) == langgraph_items(original)
        assert len(langgraph_items(store)) == len(systems.items())
        assert sorted(store.list_namespaces()) == sorted(original.list_namespaces())
        for namespace, key, value, _ in systems.items():
            item, theirs = store.get(namespace, key), original.get(namespace, key)
            assert item is not None
            assert (item.value, item.created_at, item.updated_at) == (
                value,
                *map(_time, (theirs.created_at, theirs.updated_at)),
            )
        [mortal] = store.memory.get([item_id(("shared",), "mortal")])
        assert mortal is not None
        assert mortal.created_at is not None
        assert mortal.expires_at is not None
        # The database notes whole seconds of the one and microseconds of the other.
        assert abs(mortal.expires_at - mortal.created_at - timedelta(days=365)) < timedelta(seconds=10)
        assert mortal.metadata["ttl"] == 60 * 24 * 365
        best = store.search(("users",), query="who drinks green tea")[0]
        assert best.key == "tea"
        assert best.score is not None
        assert store.search(("users",), filter={"mood": "gay"})[0].key == "garden"
        assert store.search(("shared",), query="night train", limit=1)[0].key == "train"
        store.put(("users", "marta"), "tea", {"text": "now she drinks coffee"})
        changed = store.get(("users", "marta"), "tea")
        assert changed is not None
        assert changed.value == {"text": "now she drinks coffee"}
        assert store.search(("users",), query="coffee")[0].key == "tea"
        assert "green" not in str(store.search(("users",), query="green tea"))
        store.delete(("shared",), "train")
        assert store.get(("shared",), "train") is None
        assert store.memory.get(["lg-none"]) == [None]


def _time(said: Any) -> Any:
    at = said if isinstance(said, datetime) else datetime.fromisoformat(said)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@pytest.mark.parametrize("index", [True, False], ids=["with an index", "without"])
def test_langgraphs_sqlite_store(index: bool, tmp_path: Path, place: Path, run_import: Import) -> None:
    from langgraph.store.sqlite import SqliteStore

    file = systems.langgraph_sqlite(tmp_path, index)
    envelope = run_import(file, namespace="lg")
    assert envelope["data"]["format"] == "langgraph"
    assert (envelope["data"]["rows"], envelope["data"]["refused"]) == (len(systems.items()), 0)
    assert_nothing_changes(run_import(file, namespace="lg"))
    with SqliteStore.from_conn_string(str(file)) as original:
        assert_same_store(place, original)


def test_what_langgraphs_index_leaves_out_is_not_found_by_a_query(
    tmp_path: Path, place: Path, run_import: Import
) -> None:
    run_import(systems.langgraph_sqlite(tmp_path), namespace="lg")
    with MnemicStore.embedded(place, namespace="lg") as store:
        found = store.search(("shared",), query="nobody finds this by a query")
        assert next(item for item in found if item.key == "secret").score is None


@contextmanager
def database(server: str, name: str) -> Iterator[str]:
    """A database of its own on the server."""

    def run(statement: str) -> None:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    run(f"CREATE DATABASE {name}")
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("index", [True, False], ids=["with an index", "without"])
def test_langgraphs_postgres_store(
    index: bool, server: str, place: Path, run_import: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langgraph.store.postgres import PostgresStore

    with database(server, f"importers_{os.getpid()}") as dsn:
        systems.langgraph_postgres(dsn, index)
        monkeypatch.setenv("STORE_DSN", dsn)
        envelope = run_import("env:STORE_DSN", namespace="lg")
        assert (envelope["data"]["rows"], envelope["data"]["refused"]) == (len(systems.items()), 0)
        # Five heads and a piece of a long value, and a text for each item that its own index finds.
        assert envelope["data"]["total"]["new"] == 5 + 1 + (4 if index else 5)
        assert_nothing_changes(run_import(dsn, namespace="lg"))
        with PostgresStore.from_conn_string(dsn) as original:
            assert_same_store(place, original)


def test_a_store_of_many_items_is_read_page_by_page(
    tmp_path: Path, place: Path, run_import: Import, server: str
) -> None:
    from langgraph.store.postgres import PostgresStore

    with database(server, f"importers_many_{os.getpid()}") as dsn:
        with PostgresStore.from_conn_string(dsn) as store:
            store.setup()
            for i in range(1203):
                store.put(("n", str(i % 7), "Ä" if i % 2 else "a_b"), f"key {i}", {"i": i})
            kept = {(item.namespace, item.key): item.value for item in store.search((), limit=2000)}
        envelope = run_import(dsn, namespace="lg")
        assert envelope["data"]["rows"] == 1203
    with MnemicStore.embedded(place, namespace="lg") as imported:
        assert {(item.namespace, item.key): item.value for item in imported.search((), limit=2000)} == kept


def test_chroma(tmp_path: Path, run_import: Import, open_namespace: Callable[[str], MemoryManager]) -> None:
    directory = systems.chroma(tmp_path, many=250)
    envelope = run_import(directory, "--user", "nobody-said")
    assert envelope["data"]["format"] == "chroma"
    # One record of the notes has no document, and one line was deleted.
    assert counts(envelope) == (3 + 249, 1)
    [fault] = envelope["data"]["faults"]
    assert fault["field"] == "document"
    notes = open_namespace("notes")
    best = notes.retrieve("when does the night train leave")[0]
    assert (best.id, best.text) == ("train", "The night train to Tallinn leaves at ten")
    assert (best.metadata["n"], best.metadata["labels"], best.user_id) == (4, ["rail", "night"], "marta")
    assert best.metadata["imported_from"] == {"system": "chroma", "collection": "notes", "id": "train"}
    [name] = [name for name in envelope["data"]["namespaces"] if name != "notes"]
    lines = open_namespace(name)
    assert lines.retrieve("line number 211 of the long list")[0].id == "line-211"
    assert lines.retrieve("changed late")[0].id == "line-1"
    assert lines.get(["line-2"]) == [None]
    assert lines.retrieve("line number 211")[0].user_id == "nobody-said"
    for memory in (notes, lines):
        memory.close()
    assert_nothing_changes(run_import(directory, "--user", "nobody-said"))


@pytest.mark.parametrize("compression", ["csv", "snappy", "zstd", "gzip", "lz4", "none"])
def test_a_table(
    compression: str, tmp_path: Path, run_import: Import, open_namespace: Callable[[], MemoryManager]
) -> None:
    file = systems.csv_file(tmp_path) if compression == "csv" else systems.parquet_file(tmp_path, compression)
    envelope = run_import(file, "--column", "text=body")
    assert envelope["data"]["format"] == ("csv" if compression == "csv" else "parquet")
    assert counts(envelope) == (4 if compression == "csv" else 3, 1)
    assert envelope["data"]["faults"][0]["field"] == "text"
    assert envelope["data"]["total"]["embeddings_not_taken"] == 3
    memory = open_namespace()
    for row in systems.table():
        best = memory.retrieve(row["body"])[0]
        assert (best.id, best.user_id, best.metadata["topic"]) == (row["id"], "marta", row["topic"])
        assert best.created_at is not None
        assert best.created_at.isoformat() == row["created_at"]


def test_every_import_is_told_by_one_event(
    tmp_path: Path, run_import: Import, open_namespace: Callable[[], MemoryManager]
) -> None:
    run_import(systems.csv_file(tmp_path), "--column", "text=body")
    [entry] = open_namespace().events(thread_id="import").items
    assert entry.event is not None
    assert (entry.event.action, entry.event.payload["format"], entry.event.payload["new"]) == (
        "file.imported",
        "csv",
        4,
    )
    assert len(entry.event.payload["sha256"]) == 64


def test_nothing_of_a_foreign_file_changes(tmp_path: Path, run_import: Import) -> None:
    for source in (systems.langgraph_sqlite(tmp_path), systems.mem0(tmp_path)[1], systems.chroma(tmp_path, many=60)):
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        before = {file: file.read_bytes() for file in files if file.is_file()}
        run_import(source)
        assert {file: file.read_bytes() for file in before} == before
