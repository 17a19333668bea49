"""Memories side by side on the same records, each in a process of its own and taking turns. Not here: their calls (`stores`)."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import data
from timing import load, median, percentile
from worker import QUERIES, RECORDS

SINGLE_WRITES = 20
POSTGRES = "MNEMIC_TEST_POSTGRES_18"


@dataclass(frozen=True)
class Peer:
    """A memory to measure."""

    name: str
    title: str
    environment: str
    statement: str
    # Compared with each other: durable in files, on a server, or in process memory.
    group: str


MNEMIC_IMPORT = "import mnemic"
_LANGGRAPH = "langgraph"
PEERS = (
    Peer("mnemic_embedded", "Mnemic, embedded", "mnemic", MNEMIC_IMPORT, "files"),
    Peer("langgraph_sqlite", "LangGraph SqliteStore", _LANGGRAPH, "import langgraph.store.sqlite", "files"),
    Peer("chroma", "Chroma", "chroma", "import chromadb", "files"),
    Peer("lancedb", "LanceDB", "lancedb", "import lancedb", "files"),
    Peer("mem0", "mem0 (infer=False)", "mem0", "from mem0 import Memory", "files"),
    Peer("mnemic_dev", "Mnemic, dev", "mnemic", MNEMIC_IMPORT, "process memory"),
    Peer("langgraph_memory", "LangGraph InMemoryStore", _LANGGRAPH, "import langgraph.store.memory", "process memory"),
    Peer("mnemic_production", "Mnemic, PostgreSQL", "mnemic", MNEMIC_IMPORT, "server"),
    Peer(
        "langgraph_postgres",
        "LangGraph PostgresStore",
        "langgraph-postgres",
        "import langgraph.store.postgres",
        "server",
    ),
)
ROWS = ("insert", "single", "search", "filtered", "list")
_QUIET = {
    "MEM0_TELEMETRY": "False",
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "TOKENIZERS_PARALLELISM": "false",
}


class _Process:
    def __init__(self, peer: Peer, python: Path, size: int, directory: Path) -> None:
        self.peer = peer
        here = Path(__file__).parent
        environment = {**os.environ, **_QUIET, "HOME": str(directory), "TMPDIR": str(directory)}
        self._log = (directory / f"{peer.name}.log").open("w")
        self._process = subprocess.Popen(
            [python, here / "worker.py", peer.name, str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=directory,
            env=environment,
        )

    def ask(self, *words: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.peer.name} ended; see {self._log.name}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        self._process.communicate()
        self._log.close()


def chosen(names: list[str] | None) -> tuple[list[Peer], list[str]]:
    """The peers to measure, and sentences on those that cannot be."""
    peers = [peer for peer in PEERS if names is None or peer.name in names]
    if os.environ.get(POSTGRES):
        return peers, []
    left_out = [peer.title for peer in peers if peer.group == "server"]
    notes = [f"LEFT OUT: {', '.join(left_out)}: {POSTGRES} is not set"] if left_out else []
    return [peer for peer in peers if peer.group != "server"], notes


def measure(
    peers: list[Peer], pythons: dict[str, Path], directory: Path, *, size: int, rounds: int, queries: int
) -> dict[str, Any]:
    """Measures the peers in turns; every peer has its turn in every round, and the first round is thrown away."""
    readings: dict[str, dict[str, dict[str, list[float]]]] = {
        peer.name: {row: {"wall": [], "cpu": []} for row in ROWS} for peer in peers
    }
    processes = [_Process(peer, pythons[peer.environment], size, directory) for peer in peers]
    found: dict[str, list[Any]] = {peer.name: [] for peer in peers}
    loads = [load()]
    try:
        for process in processes:
            process.ask("fill")
        for number in range(rounds + 1):
            for process in processes:
                answers = {
                    **process.ask("insert", number, SINGLE_WRITES),
                    **process.ask("search", number * queries, queries),
                }
                if number == 0:
                    continue
                for row in ROWS:
                    for clock in ("wall", "cpu"):
                        readings[process.peer.name][row][clock] += answers[row][clock]
                first = number * queries
                found[process.peer.name] += [(n % QUERIES, ids) for n, ids in enumerate(answers["ids"], start=first)]
            loads.append(load())
        durable = {process.peer.name: process.ask("durable")["durable"] for process in processes}
        for process in processes:
            process.ask("close")
    finally:
        for process in processes:
            process.end()
    recalls = _recalls(found, size)
    return {
        "load": [min(loads), max(loads)],
        "size": size,
        "peers": [
            {
                "name": peer.name,
                "title": peer.title,
                "group": peer.group,
                "durable": durable[peer.name],
                "recall": recalls[peer.name],
                "milliseconds": {row: _summary(readings[peer.name][row]) for row in ROWS},
            }
            for peer in peers
        ],
    }


def _summary(readings: dict[str, list[float]]) -> dict[str, float]:
    wall, cpu = readings["wall"], readings["cpu"]
    return {
        "median": median(wall) / 1e3,
        "least": min(wall) / 1e3,
        "p99": percentile(wall, 0.99) / 1e3,
        "cpu": median(cpu) / 1e3,
    }


def _recalls(found: dict[str, list[Any]], size: int) -> dict[str, float]:
    """How many of the true ten best each one found, over all questions: a fast wrong answer is not a fast answer."""
    made = data.make(size, QUERIES, vectors=True)
    asked = sorted({number for answers in found.values() for number, _ in answers})
    truth = {number: set(data.nearest(made.query_vectors[number], made)) for number in asked}
    recalls = {}
    for name, answers in found.items():
        hits = sum(len(truth[number] & set(ids)) for number, ids in answers)
        recalls[name] = hits / max(1, len(answers) * data.TOP)
    return recalls


__all__ = ["PEERS", "RECORDS", "Peer", "chosen", "measure"]
