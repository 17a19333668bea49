"""The memory tool against the SDK's own on a file system, command by command. Not here: what only ours promises (`test_tool`)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from anthropic.lib.tools._beta_builtin_memory_tool import (
    BetaAsyncLocalFilesystemMemoryTool,
    BetaLocalFilesystemMemoryTool,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from memory_commands import Command, ask, without_directory_sizes

from mnemic import create_dev_memory_manager
from mnemic.integrations.anthropic_memory import MnemicAsyncMemoryTool, MnemicMemoryTool

NAMES = ["a", "b", "a.md", ".hidden", "ж", "100%", "x y"]
names = st.sampled_from(NAMES)
paths = st.one_of(
    st.lists(names, min_size=0, max_size=4).map(lambda parts: "/".join(["/memories", *parts])),
    st.sampled_from(
        [
            "/memories/",
            "/memories//a",
            "/memories/./a/",
            "/memories/a/../b",
            "/memories/..",
            "/memories/../memories/a",
            "/memories/a/../../b",
            "/etc/passwd",
            "memories/a",
            "",
        ]
    ),
)
words = st.sampled_from(
    ["", "x", "y", "one", "\n", "one\n", "x\nx\n", "\r\n", "\t", "é", "   ", "a\0b", "\u2028", "\f"]
)
texts = st.lists(words, max_size=8).map("".join)
commands = st.one_of(
    st.fixed_dictionaries(
        {"command": st.just("view"), "path": paths},
        optional={"view_range": st.lists(st.integers(-2, 8), max_size=3)},
    ),
    st.fixed_dictionaries({"command": st.just("create"), "path": paths, "file_text": texts}),
    st.fixed_dictionaries({"command": st.just("create"), "path": paths, "file_text": texts}),
    st.fixed_dictionaries({"command": st.just("str_replace"), "path": paths, "old_str": words, "new_str": texts}),
    st.fixed_dictionaries(
        {"command": st.just("insert"), "path": paths, "insert_line": st.integers(-1, 6), "insert_text": texts}
    ),
    st.fixed_dictionaries({"command": st.just("delete"), "path": paths}),
    st.fixed_dictionaries({"command": st.just("rename"), "old_path": paths, "new_path": paths}),
)


def tree(root: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in root.rglob("*")}


def restore(root: Path, before: dict[str, bytes | None]) -> None:
    """Takes back what a command of the reference left behind although it failed: directories that it had made on the way."""
    for path in sorted(set(tree(root)) - set(before), reverse=True):
        (root / path).rmdir()


def compare(ours: Any, theirs: Any, root: Path, script: list[Command]) -> None:
    for command in script:
        before = tree(root)
        expected = ask(theirs, command)
        found = ask(ours, command)
        if expected[0] == "ok":
            assert found[0] == "ok", (command, found, expected)
            assert without_directory_sizes(found[1]) == without_directory_sizes(expected[1]), command
        elif expected[0] == "refused":
            restore(root, before)
            assert found == expected, command
        else:
            # What breaks the reference, ours refuses in words.
            restore(root, before)
            assert found[0] == "refused", (command, found, expected)
    for path, content in tree(root).items():
        shown = f"/memories/{path}"
        text = ask(ours, {"command": "view", "path": shown})[1]
        if content is not None:
            lines = content.decode().split("\n")
            body = "\n".join(f"{number:6}\t{line}" for number, line in enumerate(lines, 1))
            assert text == f"Here's the content of {shown} with line numbers:\n{body}"
    listed = ask(ours, {"command": "view", "path": "/memories"})[1]
    assert without_directory_sizes(listed) == without_directory_sizes(
        ask(theirs, {"command": "view", "path": "/memories"})[1]
    )


@given(st.lists(commands, max_size=14))
@example(
    [{"command": "create", "path": "/memories/a", "file_text": "one\ntwo"}, {"command": "view", "path": "/memories/a"}]
)
@settings(max_examples=300, deadline=None)
def test_every_command_answers_as_the_sdk_s_own_tool_does(script: list[Command]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        ours, theirs = MnemicMemoryTool(create_dev_memory_manager()), BetaLocalFilesystemMemoryTool(directory)
        compare(ours, theirs, Path(directory) / "memories", script)


@given(st.lists(commands, max_size=10))
@settings(max_examples=40, deadline=None)
def test_the_asynchronous_twins_agree_likewise(script: list[Command]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "memories"
        root.mkdir()
        ours, theirs = MnemicAsyncMemoryTool(create_dev_memory_manager()), BetaAsyncLocalFilesystemMemoryTool(directory)
        compare(ours, theirs, root, script)


FILE = "".join(f"line {number}\n" for number in range(1, 21))
GOLDEN: list[list[Command]] = [
    [{"command": "view", "path": "/memories", "view_range": [1, 2]}],
    [
        {"command": "create", "path": "/memories/a/b/c/d.txt", "file_text": FILE},
        {"command": "create", "path": "/memories/a/.secret", "file_text": "hidden"},
        {"command": "create", "path": "/memories/a.b", "file_text": "x" * 1536},
        {"command": "create", "path": "/memories/a b", "file_text": "x" * 1048576},
        {"command": "view", "path": "/memories"},
        {"command": "view", "path": "/memories/a/"},
        {"command": "view", "path": "/memories/a/b/c/d.txt", "view_range": [3, 5]},
        {"command": "view", "path": "/memories/a/b/c/d.txt", "view_range": [18, -1]},
        {"command": "view", "path": "/memories/a/b/c/d.txt", "view_range": [30, 40]},
        {"command": "str_replace", "path": "/memories/a/b/c/d.txt", "old_str": "line 7\n", "new_str": "7\nseven\n"},
        {"command": "str_replace", "path": "/memories/a/b/c/d.txt", "old_str": "line 1", "new_str": "?"},
        {"command": "str_replace", "path": "/memories/a/b/c/d.txt", "old_str": "absent", "new_str": "?"},
        {"command": "insert", "path": "/memories/a/b/c/d.txt", "insert_line": 0, "insert_text": "first\n\n"},
        {"command": "insert", "path": "/memories/a/b/c/d.txt", "insert_line": 99, "insert_text": "never"},
        {"command": "rename", "old_path": "/memories/a", "new_path": "/memories/z/y"},
        {"command": "view", "path": "/memories/z/y/b/c/d.txt"},
        {"command": "rename", "old_path": "/memories/z/y", "new_path": "/memories/a.b"},
        {"command": "rename", "old_path": "/memories/absent", "new_path": "/memories/other"},
        {"command": "rename", "old_path": "/memories/z", "new_path": "/memories/z/deeper"},
        {"command": "rename", "old_path": "/memories", "new_path": "/memories/other"},
        {"command": "create", "path": "/memories/a.b/under-a-file", "file_text": "no"},
        {"command": "delete", "path": "/memories/z"},
        {"command": "delete", "path": "/memories/z"},
        {"command": "delete", "path": "/memories/"},
        {"command": "view", "path": "/memories"},
    ],
]


@pytest.mark.parametrize("script", GOLDEN, ids=["a range on a directory", "a life of files"])
def test_a_written_script_answers_the_same(tmp_path: Path, script: list[Command]) -> None:
    ours, theirs = MnemicMemoryTool(create_dev_memory_manager()), BetaLocalFilesystemMemoryTool(str(tmp_path))
    compare(ours, theirs, tmp_path / "memories", script)


@pytest.mark.parametrize("size", [64 * 1024 + 1, 256 * 1024 + 1, 2_000_000])
def test_large_files_are_kept_whole_and_edited_like_small_ones(tmp_path: Path, size: int) -> None:
    text = ("я" * 79 + "\n") * (size // 159) + "needle\n" + "tail"
    script: list[Command] = [
        {"command": "create", "path": "/memories/large", "file_text": text},
        {"command": "str_replace", "path": "/memories/large", "old_str": "needle", "new_str": "n" * size},
        {"command": "insert", "path": "/memories/large", "insert_line": 5, "insert_text": "five"},
        {"command": "str_replace", "path": "/memories/large", "old_str": "n" * size, "new_str": "short"},
        {"command": "view", "path": "/memories/large", "view_range": [1, 9]},
        {"command": "view", "path": "/memories"},
    ]
    ours, theirs = MnemicMemoryTool(create_dev_memory_manager()), BetaLocalFilesystemMemoryTool(str(tmp_path))
    compare(ours, theirs, tmp_path / "memories", script)


@pytest.mark.parametrize("lines", [999_998, 999_999])
def test_a_file_of_too_many_lines_is_not_shown(tmp_path: Path, lines: int) -> None:
    script: list[Command] = [
        {"command": "create", "path": "/memories/long", "file_text": "\n" * lines},
        {"command": "view", "path": "/memories/long", "view_range": [1, 1]},
    ]
    ours, theirs = MnemicMemoryTool(create_dev_memory_manager()), BetaLocalFilesystemMemoryTool(str(tmp_path))
    for command in script:
        expected = ask(theirs, command)
        assert ask(ours, command) == expected
    assert expected[0] == ("ok" if lines == 999_998 else "refused")
