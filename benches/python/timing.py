"""Stopwatches and what is made of their readings. Not here: what is measured."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any


class Readings:
    """Wall and processor time (of all threads of this process) of several runs of something, in microseconds."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def time(self, action: Callable[[], Any]) -> Any:
        """Runs it, notes how long it took, and answers what it answered."""
        busy, begun = time.process_time_ns(), time.perf_counter_ns()
        answer = action()
        self.note(begun, busy)
        return answer

    def note(self, begun: int, busy: int) -> None:
        """Notes a run that began at these two times."""
        self.wall.append((time.perf_counter_ns() - begun) / 1e3)
        self.cpu.append((time.process_time_ns() - busy) / 1e3)

    def as_dict(self) -> dict[str, list[float]]:
        """Both lists."""
        return {"wall": self.wall, "cpu": self.cpu}


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def load() -> float:
    """How many processes want a processor now, over the last minute."""
    return os.getloadavg()[0]
