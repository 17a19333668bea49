"""Times as the engine reads them: with a time zone, and such that both the engine and Python's calendar can hold them.

The engine also keeps the year 0, which no ``datetime`` can hold: a record with such a time could be written and never be read.
Not here: times in metadata and in payloads, which are text to the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mnemic._json import plain, refuse, zoned

_FIRST = datetime.min.replace(tzinfo=UTC)
# The last second of which the engine can tell the time of day in every time zone.
_LAST = datetime(9999, 12, 30, 22, tzinfo=UTC)
_WITHIN = "a time from 0001-01-01T00:00:00Z to 9999-12-30T22:00:00Z"
# The fields of a record that are times, and the other name that filters have for one of them.
FIELDS = ("created_at", "updated_at", "valid_from", "valid_to", "expires_at")
_NAMES = frozenset((*FIELDS, "decay_at"))


def check(field: str, value: datetime, given: str | None = None) -> str:
    """A time as text. One without a zone, and one that cannot be kept or read back, is refused."""
    text = zoned(field, value)
    if not _FIRST <= value <= _LAST:
        raise refuse(field, _WITHIN, given or text)
    return text


def time(field: str, value: datetime | str | None) -> str | None:
    """A time as text. What is text already and no time is left to the engine, which says so."""
    if isinstance(value, datetime):
        return check(field, value)
    if isinstance(value, str):
        _check_text(field, value)
    return value


def conditions(filters: Mapping[str, Any] | None) -> Any:
    """A filter in JSON's own types, with the times in it checked."""
    if filters is None:
        return None
    made = plain("filter", filters)
    _check_conditions("filter", made, of_time=False)
    return made


def _check_conditions(field: str, value: Any, *, of_time: bool) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_conditions(f"{field}.{key}", item, of_time=of_time or key in _NAMES)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _check_conditions(f"{field}[{i}]", item, of_time=of_time)
    elif of_time and isinstance(value, str):
        _check_text(field, value)


def _check_text(field: str, value: str) -> None:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return
    if at.tzinfo is not None:
        check(field, at, value)
