"""CrewAI's own `Memory` on the storage, from end to end: a toy embedder, a language model that answers from a script."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crewai.llms.base_llm import BaseLLM
from crewai.memory.storage.factory import set_memory_storage_factory
from crewai.memory.unified_memory import Memory

from mnemic import InvalidInputError, create_embedded_memory_manager
from mnemic.integrations.crewai import MnemicStorage, register, storage_for

WORDS = ["fee", "interview", "austin", "anna", "cheap"]
EXAMPLES = Path(__file__).parents[4] / "examples" / "python"


def embed(texts: list[str]) -> list[list[float]]:
    return [[float(text.lower().count(word)) for word in WORDS] + [0.05] for text in texts]


class Script(BaseLLM):
    """Answers each form with what the script has for it, and remembers what it was asked."""

    answers: dict[str, Any]
    asked: list[str]

    def supports_function_calling(self) -> bool:
        return True

    def call(self, messages: Any, *args: Any, response_model: Any = None, **kwargs: Any) -> Any:
        self.asked.append(response_model.__name__)
        return json.loads(json.dumps(self.answers[response_model.__name__]))


def crew_memory(storage: Any, **answers: Any) -> tuple[Memory, Script]:
    script = Script(model="script", answers=answers, asked=[])
    memory = Memory(storage=storage, embedder=embed, llm=script)
    # CrewAI copies the model for its analyses; the list of questions stays the same one.
    return memory, script


@pytest.fixture
def registered() -> Iterator[None]:
    register()
    yield
    set_memory_storage_factory(None)


FACT: dict[str, Any] = {"categories": ["fact"], "metadata": {"by": "clerk"}, "importance": 0.5}


def test_what_is_remembered_is_recalled_in_its_scope_and_after_a_restart(tmp_path: Path) -> None:
    memory, _ = crew_memory(MnemicStorage(tmp_path))
    memory.remember("The fee is $2,805.", scope="/cases/fees", **FACT)
    memory.remember("Anna has the interview in Austin.", scope="/people", source="anna", private=True, **FACT)
    memory.close()

    again, _ = crew_memory(MnemicStorage(tmp_path))
    [best] = again.recall("the fee?", depth="shallow", limit=1)
    assert (best.record.content, best.record.metadata) == ("The fee is $2,805.", {"by": "clerk"})
    assert again.recall("interview", scope="/people", depth="shallow") == []
    seen = again.recall("interview", scope="/people", depth="shallow", source="anna")
    assert [match.record.content for match in seen] == ["Anna has the interview in Austin."]
    assert again.tree() == "/ (2 records)\n  /cases (1 records)\n    /cases/fees (1 records)\n  /people (1 records)"
    again.close()


def test_the_model_places_merges_and_searches(tmp_path: Path) -> None:
    memory, script = crew_memory(
        MnemicStorage(tmp_path),
        MemoryAnalysis={
            "suggested_scope": "/cases/fees",
            "categories": ["money"],
            "importance": 0.9,
            "extracted_metadata": {"entities": [], "dates": [], "topics": ["fees"]},
        },
        QueryAnalysis={
            "keywords": ["fee"],
            "suggested_scopes": ["/cases"],
            "complexity": "simple",
            "recall_queries": ["fee"],
        },
    )
    first = memory.remember("The fee is $1,440.")
    assert first is not None
    assert (first.scope, first.categories, first.importance) == ("/cases/fees", ["money"], 0.9)
    script.answers["ConsolidationPlan"] = {
        "actions": [
            {"action": "update", "record_id": first.id, "new_content": "The fee is $2,805.", "reason": "newer"}
        ],
        "insert_new": False,
        "insert_reason": "",
    }
    memory.remember("The fee is now $2,805.")
    assert [r.content for r in memory.list_records()] == ["The fee is $2,805."]
    assert memory.list_records()[0].id == first.id
    query = "Which fee has to be paid? " * 20
    assert [match.record.content for match in memory.recall(query)] == ["The fee is $2,805."]
    assert {"MemoryAnalysis", "ConsolidationPlan", "QueryAnalysis"} <= set(script.asked)
    memory.close()


def test_a_record_that_is_only_moved_is_found_where_it_went(tmp_path: Path) -> None:
    memory, _ = crew_memory(MnemicStorage(tmp_path))
    kept = memory.remember("The fee is $2,805.", scope="/old", **FACT)
    assert kept is not None
    memory.update(kept.id, scope="/new", importance=1.0)
    assert memory.recall("fee", scope="/old", depth="shallow") == []
    [match] = memory.recall("fee", scope="/new", depth="shallow")
    assert match.record.importance == 1.0
    memory.update(kept.id, content="Austin is where the interview is.")
    assert memory.recall("interview in Austin", depth="shallow")[0].record.content.startswith("Austin")
    assert memory.forget(metadata_filter={"by": "clerk"}) == 1
    assert memory.list_records() == []
    memory.close()


def test_many_are_remembered_in_the_background_and_resetting_a_root_leaves_the_rest(tmp_path: Path) -> None:
    memory, _ = crew_memory(MnemicStorage(tmp_path))
    memory.remember_many(["The fee rose.", "Anna waits."], scope="/a", root_scope="/crew/one", **FACT)
    memory.remember_many(["The interview is near."], scope="/a", root_scope="/crew/ones", **FACT)
    memory.drain_writes()
    assert memory.info("/crew/one").record_count == 2
    memory.reset("/crew/one")
    assert [r.content for r in memory.list_records()] == ["The interview is near."]
    memory.close()


@pytest.mark.usefixtures("registered")
def test_an_address_opens_the_memory_that_it_names(tmp_path: Path) -> None:
    memory, _ = crew_memory(f"mnemic://{tmp_path}/with%20space?namespace=team")
    memory.remember("The fee is $2,805.", scope="/a", **FACT)
    memory.close()
    kept = create_embedded_memory_manager(tmp_path / "with space", namespace="team")
    assert [r.text for r in kept.list().items] == ["The fee is $2,805."]


@pytest.mark.usefixtures("registered")
def test_other_addresses_stay_what_they_are(tmp_path: Path) -> None:
    memory, _ = crew_memory(str(tmp_path / "lance"))
    assert type(memory._storage).__name__ == "LanceDBStorage"
    mine = MnemicStorage()
    register(lambda spec: mine if spec == "mine" else None)
    assert crew_memory("mine")[0]._storage is mine
    assert isinstance(crew_memory("mnemic:///" + str(tmp_path))[0]._storage, MnemicStorage)


@pytest.mark.parametrize(
    "spec",
    [
        "mnemic:///dir?namespace=a&namespace=b",
        "mnemic:///dir?name=a",
        "mnemic://a/dir",
        "mnemic://a?namespace=b",
        "mnemic:///d#x",
    ],
)
def test_an_address_that_means_nothing_is_refused(spec: str) -> None:
    with pytest.raises(InvalidInputError, match="storage: expected"):
        storage_for(spec)


def test_the_environment_may_choose_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNEMIC_PROFILE", "embedded")
    monkeypatch.setenv("MNEMIC_DIR", str(tmp_path))
    memory, _ = crew_memory(storage_for("mnemic://crew"))
    memory.remember("The fee is $2,805.", scope="/a", **FACT)
    memory.close()
    assert create_embedded_memory_manager(tmp_path, namespace="crew").stats()["records"] == 1


def test_a_copy_of_a_crew_has_the_same_storage() -> None:
    storage = MnemicStorage()
    assert copy.deepcopy({"storage": storage})["storage"] is storage


def test_the_example_runs() -> None:
    done = subprocess.run([sys.executable, EXAMPLES / "crewai_memory.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "found: The premium processing fee is $2,805. /cases/fees" in done.stdout
    assert "in /people: ['Anna lives in Austin.']" in done.stdout
    assert "forgotten: 2 left: 1" in done.stdout
