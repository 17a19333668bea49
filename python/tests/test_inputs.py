"""Values that cannot be kept: each is refused with an error that names the field, on no backend with a crash or a silent change.

Not here: how long a value may be, which the engine's own tests have.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import mnemic
from mnemic import AuditEvent, InvalidInputError, MemoryManager, MemoryRecord

LONE = "a\ud800b"
NAIVE = datetime(2026, 1, 1)
ITSELF: dict[str, Any] = {}
ITSELF["itself"] = ITSELF
DEEP: dict[str, Any] = {}
for _ in range(5000):
    DEEP = {"a": DEEP}
BAD_VALUES = {
    "lone surrogate": LONE,
    "NUL": "a\0b",
    "not a number": math.nan,
    "infinite": -math.inf,
    "time without zone": NAIVE,
    "integer of 65 bits": 2**64,
    "huge integer": 10**5000,
    "object": object(),
    "bytes": b"\xff",
    "holds itself": ITSELF,
    "deep": DEEP,
    "key that is no text": {1: 2},
    "set with an object": {object()},
    "key with a lone surrogate": {LONE: 1},
}


def event(**fields: Any) -> dict[str, Any]:
    return {"thread_id": "t", "source": "s", "action": "a", **fields}


@pytest.mark.parametrize("bad", BAD_VALUES.values(), ids=list(BAD_VALUES))
@pytest.mark.parametrize(
    "nest", [lambda bad: bad, lambda bad: [{"b": bad}], lambda bad: (1, [bad])], ids=["as is", "nested", "in a tuple"]
)
async def test_values_that_json_lacks_are_refused_by_name(
    bad: object, nest: Callable[[object], object], memory: MemoryManager
) -> None:
    value = nest(bad)
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("records[1].metadata", lambda: memory.awrite(["fine", {"text": "x", "metadata": {"key": value}}])),
        ("payload", lambda: memory.alog_audit(event(payload={"key": value}))),
        ("payload", lambda: memory.awrite(AuditEvent(**event(payload={"key": value})))),
        ("filter", lambda: memory.aretrieve("x", filters={"metadata.key": {"in": [value]}})),
        ("filter", lambda: memory.aforget(filters={"metadata.key": value})),
    ]
    for field, call in calls:
        if value == "a\0b" and field == "filter":
            # No text that is kept has one, so one may ask for it, and nothing is found.
            assert not await memory.aretrieve("x", filters={"metadata.key": value})
            continue
        with pytest.raises(InvalidInputError) as told:
            await call()
        assert str(told.value.field).startswith(field), told.value
        assert str(told.value).startswith(field)
        assert len(str(told.value)) < 500
    assert (await memory.astats())["records"] == 0, "all of a call or nothing"
    assert (await memory.astats())["events"] == 0


async def test_a_value_that_was_changed_after_the_check_is_refused_too(memory: MemoryManager) -> None:
    record = MemoryRecord(text="x")
    record.salience = math.nan
    with pytest.raises(InvalidInputError):
        await memory.awrite(record)
    record = MemoryRecord(text="x")
    record.text = LONE
    with pytest.raises(InvalidInputError, match=r"records\[0\]\.text: expected whole characters"):
        await memory.awrite(record)
    assert (await memory.astats())["records"] == 0


def texts(memory: MemoryManager, bad: str) -> dict[str, Callable[[], object]]:
    """Every place where a text goes in."""
    return {
        "records[0].text": lambda: memory.write(bad),
        "records[0].tags": lambda: memory.write({"text": "x", "tags": [bad]}),
        "records[0].user_id": lambda: memory.write({"text": "x", "user_id": bad}),
        "records[0].id": lambda: memory.write({"text": "x", "id": bad}),
        "idempotency_key": lambda: memory.write("x", idempotency_key=bad),
        "query": lambda: memory.retrieve(bad),
        "user_id": lambda: memory.retrieve("x", user_id=bad),
        "ids": lambda: memory.get([bad]),
        "thread_id": lambda: memory.snapshot_thread(bad),
        "slots.persona": lambda: memory.set_rmt("t", {"persona": bad}),
        "slots": lambda: memory.set_rmt("t", {bad: "x"}),
        "action": lambda: memory.log_audit(event(action=bad)),
        "namespace": lambda: memory.in_namespace(bad),
        "cursor": lambda: memory.list(after=bad),
        "id": lambda: memory.history(bad),
    }


@pytest.mark.parametrize("bad", [LONE, "a\0b"], ids=["lone surrogate", "NUL"])
def test_texts_of_broken_characters_are_refused_everywhere(bad: str, memory: MemoryManager) -> None:
    memory.write("so that there is a listing")
    for field, call in texts(memory, bad).items():
        with pytest.raises(InvalidInputError) as told:
            call()
        said = str(told.value.field)
        expected = "after" if field == "cursor" and bad is LONE else field
        assert said.startswith(expected), (field, said, str(told.value))
    assert memory.stats()["records"] == 1
    assert memory.write("it goes on")[0].version == 1


TYPES = {
    "records: expected": lambda memory: memory.write(5),
    "records: expected records, mappings": lambda memory: memory.write([5]),
    "records: expected 1 to 1000": lambda memory: memory.write([]),
    "ids: expected": lambda memory: memory.get(5),
    "ids[0]: expected": lambda memory: memory.get([5]),
    "ids: expected a list": lambda memory: memory.forget(ids=5),
    "selector: expected": lambda memory: memory.forget(),
    "slots: expected a mapping": lambda memory: memory.set_rmt("t", ["persona"]),
    "slots.persona: expected": lambda memory: memory.set_rmt("t", {"persona": 5}),
    "slots: expected text": lambda memory: memory.set_rmt("t", {5: "x"}),
    "event: expected": lambda memory: memory.log_audit(5),
    "query: expected": lambda memory: memory.retrieve(5),
    "limit: expected": lambda memory: memory.retrieve("x", topk=10**30),
    "mode: expected": lambda memory: memory.retrieve("x", mode="best"),
    "as_of: expected": lambda memory: memory.retrieve("x", as_of="yesterday"),
    "as_of: expected a time with a time zone": lambda memory: memory.get(["x"], as_of=NAIVE),
    "embedding: expected": lambda memory: memory.retrieve("x", embedding="abc"),
    "embedding[1]: expected": lambda memory: memory.retrieve("x", embedding=[1, math.nan]),
    "filter: expected": lambda memory: memory.retrieve("x", filters={"salienc": 1}),
    "half_life: expected": lambda memory: memory.consolidate(half_life=-1),
    "path: expected a path": lambda memory: memory.backup(5),
    "path: expected a path without NUL": lambda memory: memory.backup("a\0b"),
    "namespace: expected": lambda memory: memory.in_namespace(5),
}


@pytest.mark.parametrize("message", TYPES)
def test_values_of_another_type_are_refused_by_name(message: str, memory: MemoryManager) -> None:
    with pytest.raises(InvalidInputError) as told:
        TYPES[message](memory)
    assert str(told.value).startswith(message)
    assert told.value.field == message.partition(":")[0]
    assert told.value.retryable is False


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("expires_at", lambda: MemoryRecord(text="x", expires_at=NAIVE)),
        ("timestamp", lambda: AuditEvent(**event(timestamp=NAIVE))),
        ("salience", lambda: MemoryRecord(text="x", salience=math.nan)),
        ("confidence", lambda: MemoryRecord(text="x", confidence=math.inf)),
        ("embedding.0", lambda: MemoryRecord(text="x", embedding=[math.nan])),
        ("expect_version", lambda: MemoryRecord(text="x", expect_version=10**30)),
        ("txt", lambda: MemoryRecord(text="x", txt="y")),  # type: ignore[call-arg]
        ("text", lambda: MemoryRecord()),  # type: ignore[call-arg]
        ("metadata.1.[key]", lambda: MemoryRecord(text="x", metadata={1: 2})),  # type: ignore[dict-item]
        ("topk", lambda: mnemic.RetrievalQuery(query="x", topk="many")),  # type: ignore[arg-type]
    ],
)
def test_models_refuse_by_name(field: str, make: Callable[[], object]) -> None:
    with pytest.raises(ValidationError) as told:
        make()
    assert [".".join(str(part) for part in error["loc"]) for error in told.value.errors()] == [field]


def test_what_json_has_another_type_for_is_kept_and_answered_as_it_is_stored(memory: MemoryManager) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    metadata = {"set": {"b", "a", "c"}, "tuple": (1, (2,)), "at": at, "big": 2**63, "none": None, "float": 0.1}
    written = memory.write({"text": "x", "metadata": metadata})
    stored = memory.get([written[0].id or ""])[0]
    assert stored == written[0]
    expected = {**metadata, "set": ["a", "b", "c"], "tuple": [1, [2]], "at": at.isoformat()}
    assert written[0].metadata == expected
    logged = memory.log_audit(event(event_id="e", payload=metadata))
    assert logged.payload == expected == memory.episodic.get_all()[0].payload
    # The same values again are the same event.
    assert memory.log_audit(logged) == logged


def test_one_text_is_one_id(memory: MemoryManager) -> None:
    memory.write({"id": "abc", "text": "x"})
    assert [found and found.id for found in memory.get("abc")] == ["abc"]
    assert memory.forget(ids="abc").records == ["abc"]


def test_paths_may_be_of_any_kind(tmp_path: Path) -> None:
    for number, made in enumerate((str, Path, lambda path: str(path).encode())):
        mnemic.create_embedded_memory_manager(made(tmp_path / str(number))).write("x")
        assert any((tmp_path / str(number)).iterdir())
    with pytest.raises(InvalidInputError, match="path: expected a path"):
        mnemic.create_embedded_memory_manager(5)  # type: ignore[arg-type]


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(exclude_categories=())), inner)
        | st.frozensets(st.integers())
    ),
    max_leaves=8,
)
MEMORY = mnemic.MemoryManager()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=ANY)
def test_whatever_is_kept_reads_back_and_the_rest_is_refused(value: object) -> None:
    refused: list[InvalidInputError] = []
    kept: list[MemoryRecord] = []
    try:
        kept = list(MEMORY.write({"text": "x", "metadata": {"key": value}}))
    except InvalidInputError as error:
        refused.append(error)
    assert all(str(error.field).startswith("records[0].metadata") for error in refused), refused
    assert MEMORY.get([record.id or "" for record in kept]) == kept
    assert len(kept) + len(refused) == 1
