"""A memory of CrewAI in a directory, offline: a toy embedder and no language model, since every field of what is kept is given.

Run: pip install "mnemic[crewai]" && python crewai_memory.py
"""

import os

os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")

from tempfile import TemporaryDirectory

from crewai.llms.base_llm import BaseLLM
from crewai.memory.unified_memory import Memory

from mnemic.integrations.crewai import register

WORDS = ["fee", "costs", "interview", "austin", "lives", "premium"]


def embed(texts: list[str]) -> list[list[float]]:
    """Counts a few words, in place of a model."""
    return [[float(text.lower().count(word)) for word in WORDS] + [0.1] for text in texts]


class NoModel(BaseLLM):
    """Nothing here needs a language model."""

    def call(self, *args: object, **kwargs: object) -> str:
        raise AssertionError("the language model was asked")


register()
with TemporaryDirectory() as directory:
    memory = Memory(storage=f"mnemic://{directory}?namespace=research", embedder=embed, llm=NoModel(model="none"))
    for text, scope in [
        ("The premium processing fee is $2,805.", "/cases/fees"),
        ("The interview takes place in Austin.", "/cases/dates"),
        ("Anna lives in Austin.", "/people"),
    ]:
        memory.remember(text, scope=scope, categories=["fact"], metadata={"by": "clerk"}, importance=0.5)
    best = memory.recall("what costs, what is the fee?", depth="shallow", limit=1)[0]
    print("found:", best.record.content, best.record.scope)
    found = memory.recall("who is in Austin?", scope="/people", depth="shallow")
    print("in /people:", [match.record.content for match in found])
    print(memory.tree())
    print("forgotten:", memory.forget(scope="/cases"), "left:", memory.info("/").record_count)
    memory.close()
