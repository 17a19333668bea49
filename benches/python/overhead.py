"""What Python adds to a call of the engine: the same calls on the same records, once from Python and once from Rust, in turns.

Run by ``run.py`` with the interpreter that has the package; prints one JSON object. Not here: other memories (`peers`), import time
and size (`footprint`). The Rust half is ``benches/examples/python_floor.rs``.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import data
from timing import Readings, load, median

from mnemic import MemoryManager, MemoryRecord, create_embedded_memory_manager

BATCH = 1_000
# Calls before each measured stretch: the other half has just had the processor's caches.
WARM_UP = 5


class Floor:
    """The Rust program, obeying one command at a time."""

    def __init__(self, program: str, records: Path, queries: Path, directory: Path) -> None:
        command = [program, str(records), str(queries), str(directory)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words: object) -> dict[str, list[float]]:
        """Gives a command and waits for its times."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line or '{"error": "the program ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def close(self) -> None:
        """Lets it end."""
        self._process.communicate()


async def _filled(directory: Path, size: int, records: list[MemoryRecord]) -> MemoryManager:
    memory = create_embedded_memory_manager(directory / f"filled-{size}")
    for start in range(0, size, BATCH):
        await memory.awrite(records[start : min(start + BATCH, size)])
    return memory


async def _retrieve(memory: MemoryManager, queries: list[str]) -> dict[str, list[float]]:
    readings = Readings()
    for number, query in enumerate([*queries[-WARM_UP:], *queries]):
        busy, begun = time.process_time_ns(), time.perf_counter_ns()
        await memory.aretrieve(query)
        if number >= WARM_UP:
            readings.note(begun, busy)
    return readings.as_dict()


def _retrieve_waiting(memory: MemoryManager, queries: list[str]) -> dict[str, list[float]]:
    readings = Readings()
    for number, query in enumerate([*queries[-WARM_UP:], *queries]):
        busy, begun = time.process_time_ns(), time.perf_counter_ns()
        memory.retrieve(query)
        if number >= WARM_UP:
            readings.note(begun, busy)
    return readings.as_dict()


async def _write(memory: MemoryManager, number: int, records: list[MemoryRecord]) -> dict[str, list[float]]:
    memory = memory.in_namespace(f"round-{number}")
    # A namespace's first write makes its files; what is measured is inserting, not creating.
    await memory.awrite("the first record")
    readings = Readings()
    busy, begun = time.process_time_ns(), time.perf_counter_ns()
    await memory.awrite(records)
    readings.note(begun, busy)
    return readings.as_dict()


def _row(name: str, pairs: list[tuple[dict[str, list[float]], dict[str, list[float]]]]) -> dict[str, Any]:
    """Medians of the rounds' medians, and the median of the rounds' ratios: a busy moment touches both halves of a round."""
    row: dict[str, Any] = {"name": name, "rounds": len(pairs)}
    for clock in ("wall", "cpu"):
        python, rust = [[median(half[clock]) for half in side] for side in zip(*pairs, strict=True)]
        row[f"python_{clock}"], row[f"rust_{clock}"] = median(python), median(rust)
        row[f"ratio_{clock}"] = median([a / b for a, b in zip(python, rust, strict=True)])
    return row


async def measure(program: str, directory: Path, sizes: list[int], rounds: int, queries: int) -> dict[str, Any]:
    """Measures everything; the directory is for the memories."""
    made = data.make(max(*sizes, BATCH), queries * 3, vectors=False)
    lines = [json.dumps(record, ensure_ascii=False) for record in made.records]
    (directory / "records.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (directory / "queries.txt").write_text("\n".join(made.queries), encoding="utf-8")
    records = [MemoryRecord.model_validate(record) for record in made.records]
    floor = Floor(program, directory / "records.jsonl", directory / "queries.txt", directory / "rust")
    rows, before = [], load()
    try:
        for size in sizes:
            floor.ask("fill", size)
            memory = await _filled(directory / "python", size, records)
            awaited, waited = [], []
            for number in range(rounds + 1):
                begin = number * queries % len(made.queries)
                asked = [made.queries[(begin + n) % len(made.queries)] for n in range(queries)]
                floor.ask("retrieve", size, begin + queries - WARM_UP, WARM_UP)
                rust = floor.ask("retrieve", size, begin, queries)
                # The first round warms up caches and the processor's clock.
                if number > 0:
                    awaited.append((await _retrieve(memory, asked), rust))
                    waited.append((_retrieve_waiting(memory, asked), rust))
                else:
                    await _retrieve(memory, asked)
            rows.append({**_row(f"aretrieve, top 10 of {size:,}", awaited), "most_ratio": 1.25, "most_added": 60.0})
            rows.append(_row(f"retrieve, top 10 of {size:,}", waited))
        memory = create_embedded_memory_manager(directory / "python" / "written")
        pairs = []
        for number in range(rounds + 1):
            rust = floor.ask("write", number)
            python = await _write(memory, number, records[:BATCH])
            if number > 0:
                pairs.append((python, rust))
        rows.append({**_row(f"awrite of {BATCH:,}", pairs), "most_ratio": 1.5, "most_added": 0.0})
    finally:
        floor.close()
    return {"rows": rows, "load": [before, load()]}


if __name__ == "__main__":
    program, directory, sizes, rounds, queries = sys.argv[1:]
    chosen = [int(size) for size in sizes.split(",")]
    print(json.dumps(asyncio.run(measure(program, Path(directory), chosen, int(rounds), int(queries)))))
