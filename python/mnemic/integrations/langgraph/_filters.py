"""The filters of LangGraph's stores: their meaning, and what of them a memory can decide. Not here: searching (`_search`).

The meaning is that of the framework's in-memory store, where it has one: values are equal as in Python, a mapping without operators
is compared key by key, a missing key counts as ``None``. Orders are total where that store fails: numbers by size, texts by code
point, a text that is a number with a number; anything else, a missing value too, is not in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mnemic.integrations.langgraph._blobs import digest

_ORDERS = {"$gt", "$gte", "$lt", "$lte"}
_OPERATORS = _ORDERS | {"$eq", "$ne"}
# Fields of a value that are kept beside it for the memory to filter by.
_FIELDS = 32
_LABEL_BYTES = 128


def check(filters: Mapping[str, Any] | None) -> None:
    """Refuses unknown operators, also where no item would be compared."""
    for condition in (filters or {}).values():
        _check_condition(condition)


def _check_condition(condition: Any) -> None:
    if not isinstance(condition, Mapping):
        return
    if not _has_operators(condition):
        for inner in condition.values():
            _check_condition(inner)
        return
    for operator in condition:
        if operator not in _OPERATORS:
            known = ", ".join(sorted(_OPERATORS))
            raise ValueError(f"Unsupported operator: {operator} (expected one of {known})")


def _has_operators(condition: Mapping[str, Any]) -> bool:
    return any(isinstance(key, str) and key.startswith("$") for key in condition)


def matches(filters: Mapping[str, Any] | None, value: Mapping[str, Any]) -> bool:
    """Whether a value passes every condition."""
    return all(_passes(value.get(key), condition) for key, condition in (filters or {}).items())


def _passes(held: Any, condition: Any) -> bool:
    if isinstance(condition, Mapping):
        if _has_operators(condition):
            return all(_compare(held, operator, operand) for operator, operand in condition.items())
        if not isinstance(held, Mapping):
            return False
        return all(_passes(held.get(key), inner) for key, inner in condition.items())
    if isinstance(condition, list | tuple):
        if not isinstance(held, list | tuple) or len(held) != len(condition):
            return False
        return all(_passes(one, inner) for one, inner in zip(held, condition, strict=True))
    return bool(held == condition)


def _compare(held: Any, operator: str, operand: Any) -> bool:
    if operator == "$eq":
        return bool(held == operand)
    if operator == "$ne":
        return bool(held != operand)
    sides = _comparable(held, operand)
    if sides is None:
        return False
    left, right = sides
    if operator == "$gt":
        return bool(left > right)
    if operator == "$gte":
        return bool(left >= right)
    return bool(left < right) if operator == "$lt" else bool(left <= right)


def _comparable(held: Any, operand: Any) -> tuple[Any, Any] | None:
    if isinstance(held, str) and isinstance(operand, str):
        return held, operand
    if isinstance(operand, int | float) and isinstance(held, int | float | str):
        try:
            return (float(held) if isinstance(held, str) else held), operand
        except ValueError:
            return None
    return None


def fields_of(value: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept beside a value for the memory to filter by: its short texts, and whether these are all of its texts."""
    kept: dict[str, str] = {}
    whole = True
    for key, held in value.items():
        if not isinstance(held, str):
            continue
        if len(kept) < _FIELDS and _is_label(key) and _is_short(held):
            kept[key] = held
        else:
            whole = False
    return {"fields": kept, "all_fields": whole}


def _is_label(key: Any) -> bool:
    return (
        isinstance(key, str) and key.isascii() and key.isprintable() and "." not in key and 0 < len(key) <= _LABEL_BYTES
    )


def _is_short(text: str) -> bool:
    try:
        return len(text.encode()) <= _LABEL_BYTES and "\0" not in text
    except UnicodeEncodeError:
        return False


def pushed(filters: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Conditions for the memory that every matching item passes; others may pass, so `matches` has the last word."""
    conditions = []
    for key, condition in (filters or {}).items():
        if isinstance(condition, Mapping) and set(condition) == {"$eq"}:
            condition = condition["$eq"]
        if isinstance(condition, str) and _is_label(key) and _is_short(condition):
            equal = {f"metadata.fields.{key}": {"eq": condition}}
            conditions.append({"or": [equal, {"not": {"metadata.all_fields": True}}]})
    # Far more conditions than a filter may have would make it fail instead of help.
    return conditions[:_FIELDS]


# A namespace within the scope of every one of its prefixes; deeper ones are told apart by reading.
_DEPTH = 48


def scope(prefix: Sequence[str]) -> str:
    """The tag that every item below a prefix carries."""
    return "lg:" + digest(*prefix[:_DEPTH])


def scopes(namespace: Sequence[str]) -> list[str]:
    """The tags of an item: one for every prefix of its namespace, the empty one first."""
    return [scope(namespace[:depth]) for depth in range(min(len(namespace), _DEPTH) + 1)]
