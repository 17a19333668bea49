"""Retrieval quality of static models on the evaluation sets, dense alone and fused with BM25.

Not part of the build: it only reads models and prints the tables of docs/static-model.md. Usage, in the recipe's
virtual environment plus `pip install snowballstemmer==3.1.1`:

    python evaluate.py DATA_DIR MODEL.bin...      (DATA_DIR holds locomo-dev.*.jsonl and xquad.{en,ru}.*.jsonl)
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Callable

import numpy as np
import snowballstemmer

WORD = re.compile(r"\w+", re.UNICODE)
CYRILLIC = re.compile("[\u0400-\u04ff]")
STEM = {"en": snowballstemmer.stemmer("english"), "ru": snowballstemmer.stemmer("russian")}
CACHE: dict[str, str] = {}


def terms(text: str) -> list[str]:
    """Lower-case Snowball stems, Russian for Cyrillic words and English for the others."""
    words = []
    for word in WORD.findall(text.lower().replace("ё", "е")):
        stem = CACHE.get(word)
        if stem is None:
            stem = CACHE[word] = STEM["ru" if CYRILLIC.search(word) else "en"].stemWord(word)
        words.append(stem)
    return words


class Bm25:
    """Okapi BM25 with k1 0.9 and b 0.4 over an in-memory list of texts."""

    def __init__(self, texts: list[str], k1: float = 0.9, b: float = 0.4):
        documents = [Counter(terms(text)) for text in texts]
        lengths = np.array([sum(d.values()) for d in documents], dtype=np.float64)
        norm = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-9))
        frequencies = Counter(term for d in documents for term in d)
        self.postings = defaultdict(list)
        for i, document in enumerate(documents):
            for term, count in document.items():
                n = frequencies[term]
                idf = math.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
                self.postings[term].append((i, idf * count * (k1 + 1) / (count + norm[i])))
        self.size = len(texts)

    def scores(self, query: str) -> np.ndarray:
        out = np.zeros(self.size)
        for term in set(terms(query)):
            for i, weight in self.postings.get(term, ()):
                out[i] += weight
        return out


def minmax(x: np.ndarray) -> np.ndarray:
    spread = x.max() - x.min()
    return (x - x.min()) / spread if spread > 0 else np.zeros_like(x)


def measure(scores: np.ndarray, gold: set[int], k: int = 10) -> tuple[float, float, float]:
    """Recall@1, Recall@k and binary NDCG@k in percent."""
    top = np.argsort(-scores, kind="stable")[:k]
    hits = [i in gold for i in top]
    dcg = sum(1 / math.log2(rank + 2) for rank, hit in enumerate(hits) if hit)
    best = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(gold))))
    return 100 * hits[0] / len(gold), 100 * sum(hits) / len(gold), 100 * dcg / best


Task = list[tuple[list[str], list[tuple[str, set[int]]]]]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def locomo(data: Path) -> Task:
    corpora, queries = defaultdict(list), defaultdict(list)
    for record in lines(data / "locomo-dev.corpus.jsonl"):
        caption = f" [shared a photo: {record['caption']}]" if record.get("caption") else ""
        corpora[record["conv"]].append((record["id"], f"{record['speaker']}: {record['text']}{caption}"))
    for query in lines(data / "locomo-dev.queries.jsonl"):
        if query["category"] != "adversarial" and query["evidence"]:
            queries[query["conv"]].append((query["question"], query["evidence"]))
    task = []
    for conversation, records in corpora.items():
        position = {identity: i for i, (identity, _) in enumerate(records)}
        asked = [(q, {position[e] for e in gold if e in position}) for q, gold in queries[conversation]]
        task.append(([text for _, text in records], [(q, gold) for q, gold in asked if gold]))
    return task


def xquad(data: Path, questions: str, passages: str) -> Task:
    records = lines(data / f"xquad.{passages}.corpus.jsonl")
    position = {record["id"]: i for i, record in enumerate(records)}
    asked = lines(data / f"xquad.{questions}.queries.jsonl")
    return [([r["text"] for r in records], [(q["question"], {position[e] for e in q["evidence"]}) for q in asked])]


def tasks(data: Path) -> dict[str, Task]:
    return {
        "LoCoMo dev": locomo(data),
        "XQuAD en": xquad(data, "en", "en"),
        "XQuAD ru": xquad(data, "ru", "ru"),
        "XQuAD ru -> en": xquad(data, "ru", "en"),
    }


def run(task: Task, embed: Callable[[list[str]], np.ndarray] | None, lexical: list[Bm25] | None) -> np.ndarray:
    """Mean (R@1, R@10, NDCG@10). A zero row means the model cannot represent that text: lexical then stands alone."""
    rows = []
    for number, (texts, questions) in enumerate(task):
        if embed:
            documents, asked = embed(texts), embed([q for q, _ in questions])
        for i, (question, gold) in enumerate(questions):
            dense = minmax(documents @ asked[i]) if embed and asked[i].any() else None
            words = lexical[number].scores(question) if lexical else None
            if dense is None:
                scores = words if words is not None else np.zeros(len(texts))
            else:
                scores = dense if words is None else 0.5 * dense + 0.5 * minmax(words)
            rows.append(measure(scores, gold))
    return np.mean(rows, axis=0)


def table(all_tasks: dict[str, Task], models: dict[str, Callable], lexical: dict[str, list[Bm25]]) -> None:
    """Prints R@1 / R@10 / NDCG@10 per task, alone and fused."""
    def cells(embed, fused):
        return " | ".join(
            "{:.1f} / {:.1f} / {:.1f}".format(*run(task, embed, lexical[name] if fused else None))
            for name, task in all_tasks.items()
        )
    print("| run | " + " | ".join(all_tasks) + " |")
    print("|---" * (len(all_tasks) + 1) + "|")
    if lexical:
        print(f"| BM25 | {cells(None, True)} |", flush=True)
    for name, embed in models.items():
        print(f"| {name} | {cells(embed, False)} |", flush=True)
        print(f"| BM25 + {name} | {cells(embed, True)} |", flush=True)


def main() -> None:
    from model_file import StaticModel

    data = Path(sys.argv[1])
    all_tasks = tasks(data)
    lexical = {name: [Bm25(texts) for texts, _ in task] for name, task in all_tasks.items()}
    models = {Path(path).stem: StaticModel.read(Path(path)).embed for path in sys.argv[2:]}
    table(all_tasks, models, lexical)


if __name__ == "__main__":
    main()
