"""Records, answers and errors as values: what they tell, comparing, pickling, copying. Not here: wrong values (`test_inputs`)."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

import mnemic
from mnemic import AuditEvent, MemoryManager, MemoryRecord, MnemicError, exceptions, models

ERRORS = [getattr(exceptions, name) for name in exceptions.__all__]


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_pickling_and_copying(kind: type[MnemicError], protocol: int) -> None:
    error = kind("text: expected more", field="text", retryable=True, retry_after=1.5)
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is kind
        assert (str(twin), twin.field, twin.retryable, twin.retry_after) == ("text: expected more", "text", True, 1.5)


def test_errors_are_what_callers_catch() -> None:
    assert issubclass(mnemic.NotFoundError, LookupError)
    assert issubclass(mnemic.InvalidInputError, ValueError)
    assert all(issubclass(kind, MnemicError) for kind in ERRORS)
    assert set(exceptions.__all__) <= set(mnemic.__all__)


def test_an_error_that_a_call_raised_survives_pickling(memory: MemoryManager) -> None:
    memory.write({"id": "a", "text": "x"})
    with pytest.raises(mnemic.ConflictError) as told:
        memory.write({"id": "a", "text": "x", "expect_version": 5})
    twin = pickle.loads(pickle.dumps(told.value))
    assert (type(twin), str(twin), twin.field) == (mnemic.ConflictError, str(told.value), told.value.field)


def test_answers_survive_pickling_and_copying(memory: MemoryManager) -> None:
    written = memory.write([{"id": "a", "text": "the fee was paid", "metadata": {"n": 1}, "user_id": "u"}])
    event = memory.log_audit({"thread_id": "t", "source": "s", "action": "a"})
    found = memory.retrieve("fee")
    slots = memory.set_rmt("t", {"persona": "x"})
    health = memory.health_check_sync()
    answers: list[Any] = [
        *written, *found, event, found, written, slots, health,
        memory.context("t", "fee"), memory.consolidate(), memory.history("a")[0], memory.events().items[0], memory.forget(ids="a"),
    ]  # fmt: skip
    for answer in answers:
        for twin in (pickle.loads(pickle.dumps(answer)), copy.deepcopy(answer)):
            assert (type(twin), twin) == (type(answer), answer)
            assert vars(twin) == vars(answer)


def test_a_manager_is_not_for_pickling(memory: MemoryManager) -> None:
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(memory)


def test_the_names_of_the_replaced_system_and_of_others_are_understood() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    record = MemoryRecord.model_validate({"text": "x", "kind": "persona", "decay_at": at})
    assert (record.type, record.kind, record.expires_at, record.decay_at) == ("persona", "persona", at, at)
    assert MemoryRecord(text="x", type="persona", expires_at=at) == record
    query = mnemic.RetrievalQuery.model_validate({"text": "x", "limit": 3})
    assert (query.query, query.topk) == ("x", 3)
    assert AuditEvent(thread_id="t", source="s", action="a").event_id


def test_confidence_is_the_stored_one_or_the_likeness(memory: MemoryManager) -> None:
    memory.write(
        [
            {"id": "sure", "text": "the filing fee was paid", "confidence": 0.25},
            {"id": "open", "text": "the filing fee is open"},
        ]
    )
    found = {item.id: item for item in memory.retrieve("filing fee")}
    sure, likely = found["sure"], found["open"]
    assert (sure.confidence, sure.stored_confidence) == (0.25, 0.25)
    assert likely.stored_confidence is None
    shown = likely.score if likely.similarity is None else min(max(likely.similarity, 0), 1)
    assert likely.confidence == pytest.approx(shown)
    assert 0 < likely.confidence <= 1
    # Written back, with other words, a likeness does not become a confidence.
    likely.text = "the filing fee was paid after all"
    sure.text = "the filing fee was surely paid"
    memory.write([likely, sure])
    stored = {item.id: item for item in memory.semantic.all()}
    assert (stored["open"].confidence, stored["open"].version) == (None, 2)
    assert (stored["sure"].confidence, stored["sure"].text) == (0.25, "the filing fee was surely paid")
    # One that the caller has set is kept.
    again = memory.retrieve("filing fee paid after all", topk=1)[0]
    again.confidence = 0.75
    memory.write(again)
    assert memory.get([again.id or ""])[0].confidence == 0.75  # type: ignore[union-attr]


def test_every_public_name_is_documented() -> None:
    for name in mnemic.__all__:
        if not name.startswith("__"):
            assert getattr(mnemic, name).__doc__, name
    assert {name for name in vars(models) if name in mnemic.__all__}


def test_answers_are_what_their_models_would_have_made_of_them(memory: MemoryManager) -> None:
    instant = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    everything = {
        "id": "все", "user_id": "u", "thread_id": "t", "type": "persona", "text": "the fee of the case was paid ünder",
        "path": ["a", "b"], "tags": ["x", "y"], "source": "s", "salience": 0.25, "confidence": 0.5, "created_at": instant,
        "updated_at": instant, "valid_from": instant, "valid_to": datetime(9999, 12, 30, tzinfo=UTC),
        "expires_at": datetime(2999, 1, 1, tzinfo=UTC), "provenance": {"events": ["e"], "records": ["r"]},
        "metadata": {"n": 1, "big": 2**64 - 1, "f": 0.1, "no": None, "yes": True, "list": [{"deep": [1, "ü"]}], "o": {}},
    }  # fmt: skip
    memory.write(
        [everything, {"id": "least", "text": "the fee"}, {"id": "gone", "text": "the fee", "superseded_by": "x"}]
    )
    found = memory.retrieve("the fee of the case", include_hidden=True)
    assert {item.id for item in found} == {"все", "least", "gone"}
    by_meaning = any(leg.leg == "dense" and leg.outcome == "ran" for leg in found.legs)
    assert by_meaning == any(item.similarity is not None for item in found)
    page = memory.list(limit=2)
    got = memory.get(["все", "nowhere", "gone"])
    assert got[1] is None
    assert page.next is not None
    answers = [*found, *found.legs, *page.items, *(one for one in got if one)]
    parts = [part for item in found for part in (item.explanation, *item.explanation.legs, *item.explanation.priors)]
    for answer in [*answers, *parts]:
        kind = type(answer)
        read = kind.model_validate_json(answer.model_dump_json(exclude_unset=True))
        assert answer == read
        assert vars(answer) == vars(read)
        assert list(vars(answer)) == list(vars(read)), "in the same order, as they are printed"
        assert repr(kind.model_validate(answer.model_dump())) == repr(answer)
        assert answer.model_fields_set == read.model_fields_set
        assert (answer.model_extra, answer.__pydantic_private__) == (read.model_extra, read.__pydantic_private__)
        assert answer.model_copy() == answer
    stored = next(one for one in got if one and one.id == "все")
    assert stored.model_dump(exclude={"version"}, exclude_none=True) == everything
    assert {type(stored.metadata[name]) for name in ("n", "big")} == {int}


def test_no_two_answers_share_what_can_be_changed(memory: MemoryManager) -> None:
    memory.write([{"id": "a", "text": "the fee"}, {"id": "b", "text": "the fee was paid"}])
    first = memory.retrieve("fee")
    for item in first:
        item.tags.append("mine")
        item.metadata["mine"] = 1
        item.explanation.legs.clear()
        item.thread_id = "mine"
    for item in [*memory.retrieve("fee"), *memory.list().items]:
        assert (item.tags, item.metadata, item.thread_id) == ([], {}, None)
        assert "thread_id" not in item.model_fields_set
    assert all(item.explanation.legs for item in memory.retrieve("fee"))
