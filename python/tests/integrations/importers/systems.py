"""The real systems, each writing the same small memory into a directory. Not here: importing it (`test_importers`).

Everything runs offline: embeddings are made here from the letters of a text, and no model is ever asked.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

os.environ["MEM0_TELEMETRY"] = "False"
os.environ["ANONYMIZED_TELEMETRY"] = "False"

DIMENSION = 8
MCP_MEMORY = "@modelcontextprotocol/server-memory@2026.8.31"

FACTS = {
    "tea": "Marta drinks green tea every morning",
    "train": "The night train to Tallinn leaves at nine",
    "garden": "Беата выращивает помидоры на балконе",
}


def vector(text: str) -> list[float]:
    """An embedding that is the same wherever it is made."""
    return [byte / 256 + 0.01 for byte in hashlib.sha256(text.encode()).digest()[:DIMENSION]]


def mcp_memory(directory: Path, modules: Path) -> Path:
    """The official MCP memory server, driven as a client drives it: JSON-RPC over its standard input and output."""
    file = directory / "memory.jsonl"
    script = modules / "node_modules" / "@modelcontextprotocol" / "server-memory" / "dist" / "index.js"
    environment = {**os.environ, "MEMORY_FILE_PATH": str(file)}
    server = subprocess.Popen(
        ["node", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert server.stdin is not None
    assert server.stdout is not None
    number = 0

    def call(method: str, params: dict[str, Any]) -> Any:
        nonlocal number
        number += 1
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        server.stdin.write(json.dumps(request).encode() + b"\n")
        server.stdin.flush()
        while True:
            answer = json.loads(server.stdout.readline())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def tool(name: str, arguments: dict[str, Any]) -> None:
        result = call("tools/call", {"name": name, "arguments": arguments})
        assert not result.get("isError"), result

    try:
        about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        call("initialize", about)
        server.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        tool(
            "create_entities",
            {
                "entities": [
                    {"name": "Marta", "entityType": "person", "observations": [FACTS["tea"]]},
                    {"name": "Беата", "entityType": "person", "observations": [FACTS["garden"], "Line one\nline two"]},
                    {"name": "Night train", "entityType": "event", "observations": []},
                ]
            },
        )
        tool("add_observations", {"observations": [{"entityName": "Night train", "contents": [FACTS["train"]]}]})
        relations = [
            {"from": "Marta", "to": "Night train", "relationType": "travels_by"},
            {"from": "Marta", "to": "Беата", "relationType": "is_a_friend_of"},
        ]
        tool("create_relations", {"relations": relations})
    finally:
        server.stdin.close()
        server.wait(timeout=10)
    return file


def mem0(directory: Path) -> tuple[Path, Path]:
    """mem0 with its default vector store in a directory: what `get_all` answers, and the history database."""
    from mem0 import Memory
    from mem0.embeddings.base import EmbeddingBase

    class Embedder(EmbeddingBase):  # type: ignore[misc]
        def embed(self, text: str, memory_action: str | None = None) -> list[float]:
            return vector(text)

    index = {"path": str(directory / "qdrant"), "embedding_model_dims": DIMENSION, "on_disk": True}
    history = directory / "history.db"
    config = {"vector_store": {"provider": "qdrant", "config": index}, "history_db_path": str(history)}
    # It wants a key and never uses it: neither its model nor its embedder is called.
    with mock.patch.dict(os.environ, OPENAI_API_KEY="none"):
        memory = Memory.from_config(config)
    memory.embedding_model = Embedder()
    added = {}
    for key, text in FACTS.items():
        result = memory.add(
            [{"role": "user", "content": text}],
            user_id="marta",
            agent_id="butler",
            run_id="run-1",
            metadata={"topic": key, "deep": {"n": 1}},
            infer=False,
        )
        added[key] = result["results"][0]["id"]
    memory.update(added["train"], text="The night train to Tallinn leaves at ten")
    memory.delete(added["garden"])
    answer = memory.get_all(filters={"user_id": "marta"}, top_k=100)
    memory.close()
    export = directory / "mem0.json"
    export.write_text(json.dumps(answer, ensure_ascii=False, indent=2))
    return export, history


def items() -> list[tuple[tuple[str, ...], str, dict[str, Any], dict[str, Any]]]:
    """Items of a LangGraph store: namespace, key, value, and how they are put."""
    long = {"text": FACTS["train"], "body": " ".join(hashlib.sha256(str(i).encode()).hexdigest() for i in range(600))}
    return [
        (("users", "marta"), "tea", {"text": FACTS["tea"], "n": 1, "deep": {"list": [1, 2.5, None, True]}}, {}),
        (("users", "беата"), "garden", {"text": FACTS["garden"], "mood": "gay"}, {}),
        (("shared",), "train", long, {}),
        (("shared",), "secret", {"text": "nobody finds this by a query"}, {"index": False}),
        (("shared",), "mortal", {"text": "this does not stay for ever"}, {"ttl": 60 * 24 * 365}),
    ]


def index_config() -> dict[str, Any]:
    """An index over one field."""

    def embed(texts: Sequence[str]) -> list[list[float]]:
        return [vector(text) for text in texts]

    return {"dims": DIMENSION, "embed": embed, "fields": ["text"], "text_fields": ["text"]}


def fill(store: Any) -> None:
    """Puts the items, one of them twice."""
    store.put(("users", "marta"), "tea", {"text": "replaced"})
    for namespace, key, value, how in items():
        store.put(namespace, key, value, **how)
    store.put(("shared",), "gone", {"text": "deleted"})
    store.delete(("shared",), "gone")


def langgraph_sqlite(directory: Path, index: bool = True) -> Path:
    """LangGraph's `SqliteStore` in one file."""
    import sqlite3

    from langgraph.store.sqlite import SqliteStore, base

    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        # A Python without extensions for SQLite cannot have an index; the same module with them can.
        import pysqlite3

        base.sqlite3 = pysqlite3

    file = directory / "store.sqlite"
    config = {"index": index_config()} if index else {}
    with SqliteStore.from_conn_string(str(file), ttl={"refresh_on_read": False}, **config) as store:
        store.setup()
        fill(store)
    return file


def langgraph_postgres(dsn: str, index: bool = True) -> None:
    """LangGraph's `PostgresStore` in a database; its vector index wants an extension there."""
    from langgraph.store.postgres import PostgresStore

    config = {"index": index_config()} if index else {}
    with PostgresStore.from_conn_string(dsn, **config) as store:
        store.setup()
        fill(store)


def chroma(directory: Path, many: int = 0) -> Path:
    """Chroma in a directory: a small collection that lies in its queue, and one whose index was written to files."""
    import chromadb
    from chromadb.config import Settings

    place = directory / "chroma"
    client = chromadb.PersistentClient(str(place), settings=Settings(anonymized_telemetry=False))
    notes = client.create_collection("notes", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None)
    notes.add(
        ids=list(FACTS),
        embeddings=[vector(text) for text in FACTS.values()],
        documents=list(FACTS.values()),
        metadatas=[
            {"user_id": "marta", "n": 3, "ratio": 0.5, "done": True},
            {"user_id": "marta", "labels": ["rail", "night"]},
            {"user_id": "беата"},
        ],
    )
    later = "The night train to Tallinn leaves at ten"
    notes.update(ids=["train"], documents=[later], embeddings=[vector(later)], metadatas=[{"n": 4}])
    notes.add(ids=["mute"], embeddings=[vector("mute")], metadatas=[{"k": "v"}])
    notes.add(ids=["gone"], embeddings=[vector("gone")], documents=["deleted"])
    notes.delete(ids=["gone"])
    if many:
        hnsw = {"space": "l2", "batch_size": 20, "sync_threshold": 40}
        lines = client.create_collection("Long.Lines", configuration={"hnsw": hnsw}, embedding_function=None)
        for start in range(0, many, 20):
            texts = [f"line number {i} of the long list" for i in range(start, min(start + 20, many))]
            ids = [f"line-{i}" for i in range(start, min(start + 20, many))]
            lines.add(ids=ids, embeddings=[vector(text) for text in texts], documents=texts)
        changed = "line number 1 was changed late"
        lines.update(ids=["line-1"], documents=[changed], embeddings=[vector(changed)])
        lines.delete(ids=["line-2"])
    return place


def table() -> list[dict[str, Any]]:
    """Rows of a table."""
    return [
        {
            "id": key,
            "body": text,
            "user_id": "marta",
            "created_at": "2024-02-03T10:00:00+00:00",
            "topic": key,
            "vector": vector(text),
        }
        for key, text in FACTS.items()
    ]


def csv_file(directory: Path) -> Path:
    """A CSV by Python's own writer, with a cell of two lines and a row without words."""
    file = directory / "table.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, ["id", "body", "user_id", "created_at", "topic", "vector"])
        writer.writeheader()
        for row in table():
            writer.writerow({**row, "vector": json.dumps(row["vector"])})
        writer.writerow({"id": "lines", "body": 'Two lines,\nand "quotes"', "user_id": "marta"})
        writer.writerow({"id": "mute", "user_id": "marta"})
    return file


def parquet_file(directory: Path, compression: str = "snappy") -> Path:
    """A Parquet file by Arrow, with a list column of embeddings, a structure, times, and a row without words."""
    import datetime

    import pyarrow
    import pyarrow.parquet

    rows = [
        {
            **row,
            "created_at": datetime.datetime(2024, 2, 3, 10, tzinfo=datetime.UTC),
            "about": {"n": 1, "labels": ["a", "b"]},
            "score": 0.5,
            "done": True,
        }
        for row in table()
    ]
    rows.append({"id": "mute", "body": None})
    schema = pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("body", pyarrow.string()),
            ("user_id", pyarrow.string()),
            ("created_at", pyarrow.timestamp("us", tz="UTC")),
            ("topic", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
            ("vector", pyarrow.list_(pyarrow.float32(), DIMENSION)),
            ("about", pyarrow.struct([("n", pyarrow.int64()), ("labels", pyarrow.list_(pyarrow.string()))])),
            ("score", pyarrow.float64()),
            ("done", pyarrow.bool_()),
        ]
    )
    file = directory / f"table-{compression}.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), file, compression=compression)
    return file
