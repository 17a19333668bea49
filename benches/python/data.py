"""The records, embeddings and queries that everything here is measured with: the same in every run. Not here: measuring.

The texts are sentences of about 200 characters with the words of the example conversations, the users follow Zipf's law, and the
embeddings are unit vectors around 100 centers, so that neighbors are alike and strangers are not.
"""

from __future__ import annotations

import bisect
import json
import math
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIMENSION = 1024
TOP = 10
USERS = 100
CENTERS = 100
# The user whose records a filtered search is confined to: about one record in ten.
FILTERED_USER = "user-002"
_EXAMPLES = Path(__file__).parents[2] / "examples" / "legal-case"


@dataclass(frozen=True)
class Data:
    """Records as JSON objects, an embedding for each, questions, and an embedding for each of those."""

    records: list[dict[str, Any]]
    vectors: list[list[float]]
    queries: list[str]
    query_vectors: list[list[float]]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "text" and isinstance(inner, str):
                yield inner
            yield from _texts(inner)


def _words() -> list[str]:
    words = []
    for path in sorted(_EXAMPLES.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            for text in _texts(json.loads(line)):
                words += [word.strip(".,:;!?()«»\"'") for word in text.split()]
    return [word for word in words if word]


class _Maker:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._words = _words()
        self._centers = [self._direction() for _ in range(CENTERS)]
        weights = [1 / rank for rank in range(1, USERS + 1)]
        self._users = [sum(weights[: count + 1]) / sum(weights) for count in range(USERS)]

    def _direction(self) -> list[float]:
        gauss = self._random.gauss
        return [gauss(0, 1) for _ in range(DIMENSION)]

    def vector(self) -> list[float]:
        center = self._centers[self._random.randrange(CENTERS)]
        gauss = self._random.gauss
        near = [component + gauss(0, 0.5) for component in center]
        length = math.sqrt(sum(component * component for component in near))
        # Through single precision, which is what all of the stores keep.
        return array("f", [component / length for component in near]).tolist()

    def sentence(self, characters: int) -> str:
        words: list[str] = []
        length = 0
        while length < characters:
            rare = self._random.random() < 1 / 12
            words.append(f"WAC{self._random.randrange(20_000)}" if rare else self._random.choice(self._words))
            length += len(words[-1]) + 1
        return " ".join(words)

    def record(self, number: int) -> dict[str, Any]:
        user = bisect.bisect_left(self._users, self._random.random()) + 1
        return {
            "id": f"record-{number:07}",
            "user_id": f"user-{user:03}",
            "thread_id": f"thread-{number // 40}",
            "text": self.sentence(200),
            "tags": sorted({f"tag-{self._random.randrange(50)}" for _ in range(2)}),
            "metadata": {"form": f"I-{self._random.randrange(100, 500)}", "page": self._random.randrange(1000)},
        }


def make(records: int, queries: int, *, vectors: bool) -> Data:
    """Makes records and queries; without ``vectors`` the lists of embeddings are empty."""
    maker = _Maker(7)
    made = [maker.record(number) for number in range(records)]
    asked = [maker.sentence(40) for _ in range(queries)]
    if not vectors:
        return Data(made, [], asked, [])
    return Data(made, [maker.vector() for _ in made], asked, [maker.vector() for _ in asked])


def nearest(query: list[float], data: Data) -> list[str]:
    """The ids of the records that are nearest to a query, by looking at every one."""
    scores = [(sum(map(float.__mul__, query, vector)), n) for n, vector in enumerate(data.vectors)]
    return [data.records[n]["id"] for _, n in sorted(scores, reverse=True)[:TOP]]
