"""The migration guide of the replaced system as tests use it: its fenced blocks, and which of them have a test."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar

SEED = Path(__file__).parent / "seed"
Test = TypeVar("Test", bound=Callable[..., Any])
Key = tuple[str, int]

# Fences come first, so that a comment in one is not taken for a heading.
_PARTS = re.compile(r"^```\w+\n(?P<body>.*?)^```$|^#+ (?P<heading>[^\n]*)$", re.S | re.M)

TESTED: dict[Key, str] = {}
"""The blocks that have a test, and its name."""


def _read() -> dict[Key, str]:
    """Every fenced block by the heading above it and its number there, from 1."""
    text = (SEED / "guide.md").read_text(encoding="utf-8")
    found: dict[Key, str] = {}
    heading, number = "", 0
    for part in _PARTS.finditer(text):
        if part["heading"] is not None:
            heading, number = part["heading"].strip(), 0
            continue
        number += 1
        found[(heading, number)] = part["body"]
    return found


BLOCKS = _read()


def covers(heading: str, number: int = 1) -> Callable[[Test], Test]:
    """Marks a test as that of a block."""
    assert (heading, number) in BLOCKS, f"the guide has no block {number} under {heading!r}; it has {sorted(BLOCKS)}"

    def mark(test: Test) -> Test:
        TESTED[(heading, number)] = test.__name__
        return test

    return mark


def block(heading: str, number: int = 1) -> str:
    """The text of a block."""
    return BLOCKS[(heading, number)]


async def run(code: str, scope: dict[str, Any]) -> dict[str, Any]:
    """Runs a block in a scope; it may await at its top level."""
    compiled: CodeType = compile(code, "<guide>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    waiting = eval(compiled, scope)
    if inspect.isawaitable(waiting):
        await waiting
    return scope
