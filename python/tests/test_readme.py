"""The README of the package: every block of Python runs in order, and prints what it says. Not here: the guide (`test_guide`).

A comment after a `print` is what it prints. The snippets of the table of frameworks run where the framework is installed, as in the
environments of the integrations' tests, and are compiled everywhere.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib.util
import inspect
import io
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import worlds

import mnemic
from mnemic import compat

ROOT = Path(__file__).parents[2]
README = (ROOT / "python" / "README.md").read_text(encoding="utf-8")
BLOCKS = [match[1] for match in re.finditer(r"^```python\n(.*?)^```$", README, re.S | re.M)]
# A framework's row: its module of ours, the extra that it needs, the snippet.
ROWS = re.findall(r"^\| .+ \| `mnemic\.integrations\.(\w+)` \| `([\w-]+)` \| `(.+)` \|$", README, re.M)
# What to look for to know that a framework is installed.
FRAMEWORKS = {
    "langgraph": "langgraph",
    "langchain": "langchain_core",
    "llama_index": "llama_index.core",
    "openai_agents": "agents",
    "adk": "google.adk",
    "crewai": "crewai",
    "pydantic_ai": "pydantic_ai_harness",
    "agent_framework": "agent_framework",
    "anthropic_memory": "anthropic",
}
# What a line says that it prints.
_SAID = re.compile(r"^ *print\(.*\)  # (.+)$", re.M)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty working directory, and an environment in which only the README's own settings decide."""
    for name in filter(worlds.decides, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    # Nothing listens there; opening asks nobody.
    monkeypatch.setenv("POSTGRES_DSN", "postgresql://user:password@127.0.0.1:1/database")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    if "core.memory" in compat.installed():
        compat.uninstall("core.memory")


def _run(code: str, scope: dict[str, Any], loop: asyncio.Runner) -> str:
    """Runs a block and answers what it printed."""
    compiled = compile(code, "<README>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        waiting = eval(compiled, scope)
        if inspect.iscoroutine(waiting):
            loop.run(waiting)
    return printed.getvalue()


def test_every_block_runs_and_prints_what_it_says(place: Path) -> None:
    scope: dict[str, Any] = {"__name__": "__main__"}
    assert len(BLOCKS) >= 9
    with asyncio.Runner() as loop:
        for block in BLOCKS:
            printed = _run(block, scope, loop)
            said = _SAID.findall(block)
            if said:
                assert printed.splitlines() == said, block


def test_the_first_program_finds_the_deadline_first_also_when_it_runs_again(place: Path) -> None:
    with asyncio.Runner() as loop:
        for _ in range(2):
            printed = _run(BLOCKS[0], {"__name__": "__main__"}, loop).splitlines()
            assert len(printed) == 2
            assert "June 2, 2026" in printed[0]


def test_the_first_program_is_the_example() -> None:
    example = (ROOT / "examples" / "python" / "quickstart.py").read_text(encoding="utf-8")
    assert example.partition('"""\n\n')[2] == BLOCKS[0]


def test_every_framework_has_a_row_and_its_extra() -> None:
    assert {module for module, _, _ in ROWS} == set(FRAMEWORKS)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {extra for _, extra, _ in ROWS} == set(extras)


@pytest.mark.parametrize(("module", "snippet"), [(module, snippet) for module, _, snippet in ROWS])
def test_the_snippet_of_a_framework(module: str, snippet: str, place: Path) -> None:
    code = compile(snippet, f"<README: {module}>", "exec")
    try:
        there = importlib.util.find_spec(FRAMEWORKS[module]) is not None
    except ModuleNotFoundError:
        there = False
    if not there:
        # What it imports from us exists as a module, which is all that can be known without the framework.
        assert importlib.util.find_spec(f"mnemic.integrations.{module}") is not None
        return
    with mnemic.create_embedded_memory_manager(place / "memory") as memory:
        exec(code, {"memory": memory})


def test_the_table_of_verbs_names_methods() -> None:
    table = README.partition("| verb |")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert len(named) > 20
    assert [name for name in named if not hasattr(mnemic.MemoryManager, name)] == []
