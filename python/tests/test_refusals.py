"""Values that look right and are not: numbers of other classes, times beyond the calendar, flags that are texts, mappings with a fault.

Each is refused before anything is kept, with an error that tells the truth, or taken for what it is. Not here: values that JSON lacks
(`test_inputs`).
"""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

import mnemic
from mnemic import AuditEvent, InvalidInputError, MemoryManager, MemoryRecord, RetrievalQuery

# Year 0 in UTC, which no `datetime` can hold.
TOO_EARLY = datetime.min.replace(tzinfo=ZoneInfo("Europe/Moscow"))
GREATEST = datetime(9999, 12, 30, 22, tzinfo=UTC)
TOO_LATE = [
    GREATEST + timedelta(microseconds=1),
    datetime.max.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=timezone(-timedelta(hours=23))),
]
WITHIN = "expected a time from 0001-01-01T00:00:00Z to 9999-12-30T22:00:00Z, found "

NUMBERS = """
import enum, http, mnemic

class Id(int):
    pass

class Top(enum.IntEnum):
    FEW = 2

memory = mnemic.MemoryManager()
[kept] = memory.write({"id": "a", "text": "x", "metadata": {"status": http.HTTPStatus.NOT_FOUND, "of": [Id(7), Id(-5)]}})
assert kept.metadata == {"status": 404, "of": [7, -5]}, kept
assert {type(value) for value in (kept.metadata["status"], *kept.metadata["of"])} == {int}, kept
assert memory.get(["a"]) == [kept]
memory.write(["x and y", "x and z"])
assert len(memory.retrieve("x", topk=Top.FEW, filters={"metadata.status": {"exists": False}})) == 2
logged = memory.log_audit({"thread_id": "t", "source": "s", "action": "a", "payload": {"n": Id(2**64 - 1)}})
assert memory.episodic.get_recent(Top.FEW) == [logged]
try:
    memory.write({"text": "x", "metadata": {"n": Id(2**64)}})
except mnemic.InvalidInputError as error:
    assert error.field == "records[0].metadata.n", error
else:
    raise AssertionError("65 bits")
"""


def test_integers_of_other_classes_are_integers() -> None:
    # In a process of its own: what hangs here holds the interpreter.
    ended = subprocess.run([sys.executable, "-c", NUMBERS], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


def event(**fields: Any) -> AuditEvent:
    return AuditEvent(**{"thread_id": "t", "source": "s", "action": "a", **fields})


@pytest.mark.parametrize("at", [TOO_EARLY, *TOO_LATE], ids=str)
async def test_times_beyond_the_calendar_are_refused_before_anything_is_kept(
    at: datetime, memory: MemoryManager
) -> None:
    calls: list[tuple[str, Callable[[], Any]]] = [
        *(
            (f"records[1].{name}", functools.partial(memory.awrite, ["fine", {"text": "x", name: at}]))
            for name in ("created_at", "updated_at", "valid_from", "valid_to", "expires_at")
        ),
        ("records[0].valid_from", lambda: memory.awrite(MemoryRecord(text="x", valid_from=at))),
        ("timestamp", lambda: memory.alog_audit(event(timestamp=at))),
        ("timestamp", lambda: memory.awrite(event(timestamp=at))),
        ("as_of", lambda: memory.aget(["x"], as_of=at)),
        ("as_of", lambda: memory.alist(as_of=at)),
        ("as_of", lambda: memory.aretrieve(RetrievalQuery(query="x", as_of=at))),
        ("filter.created_at.gt", lambda: memory.aretrieve("x", filters={"created_at": {"gt": at}})),
        ("filter.or[0].expires_at", lambda: memory.alist(filters={"or": [{"expires_at": at}]})),
    ]
    for field, call in calls:
        with pytest.raises(InvalidInputError) as told:
            await call()
        assert told.value.field == field
        assert str(told.value) == f"{field}: {WITHIN}{at.isoformat()}"
    stats = await memory.astats()
    assert (stats["records"], stats["events"]) == (0, 0)


def test_a_time_beyond_the_calendar_is_told_truly_also_as_text(memory: MemoryManager) -> None:
    late = "9999-12-31T23:59:59Z"
    for field, call in {
        "as_of": lambda: memory.list(as_of=late),
        "filter.valid_to.lte": lambda: memory.list(filters={"valid_to": {"lte": late}}),
        "records[0].valid_to": lambda: memory.write({"text": "x", "valid_to": late}),
    }.items():
        with pytest.raises(InvalidInputError) as told:
            call()
        assert told.value.field == field
        assert WITHIN in str(told.value)


def test_the_first_and_the_last_time_are_kept_and_read_back(memory: MemoryManager) -> None:
    first = datetime.min.replace(tzinfo=UTC)
    record = MemoryRecord(id="a", text="x", created_at=first, valid_from=first, valid_to=GREATEST, expires_at=GREATEST)
    memory.write(record)
    [kept] = memory.list(filters={"valid_from": {"gte": first}, "expires_at": {"lte": GREATEST}}).items
    assert (kept.created_at, kept.valid_from, kept.valid_to, kept.expires_at) == (first, first, GREATEST, GREATEST)
    for number, at in enumerate((first, GREATEST)):
        logged = memory.log_audit(event(event_id=str(number), timestamp=at))
        assert memory.episodic.get_recent(1) == [logged]
    memory.list(as_of=GREATEST)
    # In metadata a time is its text, which knows no end.
    forever = datetime.max.replace(tzinfo=UTC)
    [kept] = memory.write({"text": "x", "metadata": {"until": forever}})
    assert memory.list(filters={"metadata.until": {"lte": forever}}).items == [kept]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, "records[3].text: expected a value, found nothing"),
        ({"text": 5}, "records[3].text: expected a valid string, found 5"),
        ({"text": "x", "txt": "y"}, "records[3].txt: expected a field of a record, found another name"),
        ({"text": "x", "tags": ["a", None]}, "records[3].tags[1]: expected a valid string, found None"),
        ({"text": "x", "salience": "much"}, "records[3].salience: expected a valid number"),
        ({"text": "x", "type": "z"}, "records[3].type: expected 'semantic', 'episodic', 'persona' or 'open_loop', found 'z'"),
        ({"text": "x", "provenance": {"events": "e"}}, "records[3].provenance.events: expected a valid list, found 'e'"),
        ({"text": "x", "metadata": {1: 2}}, "records[3].metadata: expected text for each key, found the key 1"),
        ({1: 2}, "records[3]"),
    ],
)  # fmt: skip
def test_a_bad_mapping_among_records_is_named_by_its_position(
    bad: dict[Any, Any], message: str, memory: MemoryManager
) -> None:
    with pytest.raises(InvalidInputError) as told:
        memory.write(["fine", {"text": "fine"}, MemoryRecord(text="fine"), bad])
    assert str(told.value).startswith(message)
    assert str(told.value.field).startswith("records[3]")
    assert isinstance(told.value.__cause__, ValidationError | TypeError)
    assert memory.stats()["records"] == 0


def test_a_bad_mapping_for_an_event_is_named_by_its_field(memory: MemoryManager) -> None:
    with pytest.raises(InvalidInputError, match=r"^source: expected a value, found nothing") as told:
        memory.log_audit({"thread_id": "t", "action": "a"})
    assert told.value.field == "source"
    assert isinstance(told.value.__cause__, ValidationError)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tags", ["a", 5]),
        ("tags", "ab"),
        ("valid_from", datetime(2026, 1, 1)),
        ("valid_from", "soon"),
        ("provenance", 5),
    ],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_what_a_model_was_given_after_it_was_checked_is_refused_by_name(
    field: str, value: Any, memory: MemoryManager
) -> None:
    record = MemoryRecord(text="x")
    setattr(record, field, value)
    with pytest.raises(InvalidInputError) as told:
        memory.write(record)
    assert str(told.value.field).startswith(f"records[0].{field}")


def test_events_of_no_thread_are_not_those_of_all(memory: MemoryManager) -> None:
    memory.log_audit(event())
    nothing: Any = None
    with pytest.raises(InvalidInputError, match=r"^thread_id: expected text, found NoneType") as told:
        memory.episodic.get_thread_events(nothing)
    assert told.value.field == "thread_id"


@pytest.mark.parametrize("limit", ["3", 1.5, True])
def test_a_limit_that_is_no_number_is_refused(limit: Any, memory: MemoryManager) -> None:
    for call in (memory.episodic.get_recent, lambda limit: memory.episodic.get_thread_events("t", limit)):
        with pytest.raises(InvalidInputError, match=r"^limit: expected an integer from 0, found") as told:
            call(limit)
        assert told.value.field == "limit"


FLAGS: dict[str, Callable[[MemoryManager, Any], object]] = {
    "merge": lambda memory, flag: memory.set_rmt("t", {"persona": "x"}, merge=flag),
    "dedupe": lambda memory, flag: memory.write("x", dedupe=flag),
    "include_hidden": lambda memory, flag: memory.retrieve("x", include_hidden=flag),
    "exact": lambda memory, flag: memory.consolidate(exact=flag),
    "dry_run": lambda memory, flag: memory.forget(ids="a", dry_run=flag),
}


@pytest.mark.parametrize("flag", ["no", "", 0, 1, None], ids=repr)
@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_is_true_or_false(name: str, flag: object, memory: MemoryManager) -> None:
    memory.write({"id": "a", "text": "x"})
    with pytest.raises(InvalidInputError) as told:
        FLAGS[name](memory, flag)
    assert str(told.value) == f"{name}: expected true or false, found {flag!r}"
    assert (memory.stats()["records"], memory.get_rmt("t")) == (1, None)


@pytest.mark.parametrize(("option", "given"), [("idempotency_key", "k"), ("dedupe", True)])
async def test_an_option_that_an_event_has_no_use_for_is_refused(
    option: str, given: Any, memory: MemoryManager
) -> None:
    happened = event(payload={"text": "the fee was paid"})
    for call in (memory.awrite, lambda *values, **options: asyncio.to_thread(memory.write, *values, **options)):
        with pytest.raises(InvalidInputError, match=rf"^{option}: expected nothing beside an event") as told:
            await call(happened, **{option: given})
        assert told.value.field == option
    assert (await memory.astats())["events"] == 0


def test_a_type_is_told_by_its_full_name(memory: MemoryManager) -> None:
    of_numpy = type("bool", (), {"__module__": "numpy"})
    with pytest.raises(
        InvalidInputError, match=r"^records\[0\]\.metadata\.sure: expected a JSON value, found numpy\.bool$"
    ):
        memory.write({"text": "x", "metadata": {"sure": of_numpy()}})


@pytest.mark.parametrize("empty", ["", b""])
def test_an_empty_path_is_refused_by_name(empty: Any, memory: MemoryManager) -> None:
    for call in (mnemic.create_embedded_memory_manager, memory.backup):
        with pytest.raises(InvalidInputError, match=r"^path: expected a path, found an empty one") as told:
            call(empty)
        assert told.value.field == "path"


def test_what_was_written_is_what_is_read(memory: MemoryManager, tmp_path: Path) -> None:
    origin = {"events": ["e2", "e1", "e2"], "records": ["r", "q", "r"]}
    given = MemoryRecord.model_validate(
        {"id": "a", "text": "x", "tags": ["b", "a", "b", "я", "Z"], "provenance": origin}
    )
    [written] = memory.write(given)
    assert written.tags == ["Z", "a", "b", "я"]
    assert memory.get(["a"]) == [written]
    assert given.tags == ["b", "a", "b", "я", "Z"], "the caller's own stays as it is"
    assert given.provenance is not None
    assert given.provenance.events == origin["events"]
    [written] = memory.write({"id": "b", "text": "x", "provenance": {}})
    assert memory.get(["b"]) == [written]
