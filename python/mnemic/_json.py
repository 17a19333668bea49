"""Python values as the JSON that the engine reads: what cannot be said in JSON is refused with the name of the field that has it.

Not here: what a field means and how long it may be, which the engine checks; times (`_times`).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from mnemic.exceptions import InvalidInputError

# More than any limit of the engine, and less than Python's own.
_DEPTH = 200
_LEAST, _GREATEST = -(2**63), 2**64 - 1


def refuse(field: str, expected: str, found: str) -> InvalidInputError:
    """The error for a value that is not what a field holds."""
    return InvalidInputError(f"{field}: expected {expected}, found {found}", field=field)


def kind(value: object) -> str:
    """The name of a value's type, with its module unless it is Python's own: there are others that are called ``bool``."""
    of = type(value)
    return of.__qualname__ if of.__module__ == "builtins" else f"{of.__module__}.{of.__qualname__}"


def text(field: str, value: object) -> str:
    """A string of whole characters."""
    if not isinstance(value, str):
        raise refuse(field, "text", kind(value))
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            found = f"a lone surrogate at character {error.start}"
            raise refuse(field, "whole characters", found) from None
    return value


def zoned(field: str, value: datetime) -> str:
    """A time as text; one without a zone means nothing."""
    if value.tzinfo is None:
        raise refuse(field, "a time with a time zone", value.isoformat())
    return value.isoformat()


def flag(field: str, value: object) -> bool:
    """True or false; a text such as ``"no"`` is true to Python and meant otherwise."""
    if not isinstance(value, bool):
        raise refuse(field, "true or false", f"{value!r:.100}")
    return value


def integer(field: str, value: object, least: int, most: int | None = None) -> int:
    """A whole number of any class that is one, such as numpy's; neither a truth value nor a float."""
    index = getattr(type(value), "__index__", None)
    number = None if index is None or isinstance(value, bool) else int(index(value))
    if number is None or number < least or (most is not None and number > most):
        to = "" if most is None else f" to {most}"
        raise refuse(field, f"an integer from {least}{to}", f"{value!r:.100}")
    return number


def path(field: str, value: object) -> str:
    """A path of the file system, which the engine takes as text."""
    try:
        given = os.fsdecode(value)  # type: ignore[arg-type]
    except (TypeError, UnicodeError):
        raise refuse(field, "a path", kind(value)) from None
    if not given:
        raise refuse(field, "a path", "an empty one")
    if "\0" in given:
        raise refuse(field, "a path without NUL", f"NUL at character {given.index(chr(0))}")
    return text(field, given)


def listed(field: str, items: object) -> list[Any]:
    """A list of what a caller gives one after the other; a single text is one."""
    if isinstance(items, str):
        return [items]
    if isinstance(items, Iterable) and not isinstance(items, bytes | Mapping):
        return list(items)
    raise refuse(field, "a list", kind(items))


def plain(field: str, value: Any, depth: int = 0) -> Any:
    """The value in JSON's own types, with the same meaning; sets are in order, so that it is always the same text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(field, value)
    if isinstance(value, int):
        # A subclass compares and prints as it likes; what it is as an integer is kept.
        number = int(value)
        if not _LEAST <= number <= _GREATEST:
            raise refuse(field, "an integer of at most 64 bits (write larger ones as text)", "a larger one")
        return number
    if isinstance(value, float):
        if not math.isfinite(value):
            raise refuse(field, "a finite number", str(value))
        return float(value)
    if isinstance(value, datetime):
        return zoned(field, value)
    return _nested(field, value, depth)


def _nested(field: str, value: Any, depth: int) -> Any:
    if depth >= _DEPTH:
        # The whole way down would fill a screen.
        raise refuse(".".join(field.split(".")[:3]), f"at most {_DEPTH} levels", "more, or a value that holds itself")
    if isinstance(value, Mapping):
        made = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise refuse(field, "text for each key", f"the key {key!r:.100}")
            made[text(field, key)] = plain(f"{field}.{key}", item, depth + 1)
        return made
    if isinstance(value, list | tuple):
        return [plain(f"{field}[{i}]", item, depth + 1) for i, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return sorted((plain(f"{field}{{}}", item, depth + 1) for item in value), key=json.dumps)
    raise refuse(field, "a JSON value", kind(value))


def dumps(request: Mapping[str, Any]) -> bytes:
    """One JSON object without what is ``None``."""
    given = {key: plain(key, value) for key, value in request.items() if value is not None}
    return json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
