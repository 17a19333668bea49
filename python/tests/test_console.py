"""The command line through Python: the same answers and exit codes as the Rust program. Not here: what its commands do."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import worlds

import mnemic

OURS = (sys.executable, "-m", "mnemic")
# What differs from one run to the next: times and ids, and what depends on them.
PASSING = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z|[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{22}|(?<=\"duration_ms\":)\d+|(?<=\"took_us\":)\d+"
)
RECENCY = re.compile(r'(?<="score":)[\d.]+|(?<="factor":)[\d.]+(?=,"name":"recency")')


def ask(program: tuple[str, ...], folder: Path, *arguments: str, given: str = "", **more: str) -> tuple[int, str, str]:
    """One command: its exit code, what it prints, and what it complains about."""
    env = worlds.clean(HOME=str(folder), NO_COLOR="1", **more)
    ended = subprocess.run(
        [*program, *arguments], capture_output=True, text=True, input=given, env=env, cwd=folder, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


def data(said: str) -> Any:
    answer = json.loads(said)
    assert answer["status"] == "ok"
    return answer["data"]


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    assert ask(OURS, tmp_path, "--version") == (0, f"mnemic {mnemic.__version__}\n", "")


def test_the_script_is_the_module() -> None:
    from importlib.metadata import PackageNotFoundError, entry_points, version

    from mnemic import __main__

    try:
        version("mnemic")
    except PackageNotFoundError:
        declared = (Path(__file__).parents[2] / "pyproject.toml").read_text()
        assert 'mnemic = "mnemic.__main__:main"' in declared
        return
    (script,) = entry_points(group="console_scripts", name="mnemic")
    assert script.load() is __main__.main


def test_what_one_command_adds_another_finds_and_so_does_the_manager(tmp_path: Path) -> None:
    code, said, _ = ask(OURS, tmp_path, "--dir", "m", "add", "the fee was paid", "--user", "u", "--json")
    added = data(said)["records"][0]
    assert (code, added["outcome"], added["version"]) == (0, "indexed", 1)
    code, said, _ = ask(OURS, tmp_path, "--dir", "m", "search", "fee", "--json")
    assert (code, [hit["record"]["id"] for hit in data(said)["hits"]]) == (0, [added["id"]])
    memory = mnemic.create_embedded_memory_manager(tmp_path / "m")
    assert [found.id for found in memory.retrieve("fee", user_id="u")] == [added["id"]]


COMMANDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "add": (0, ("add", "the fee was paid", "--id", "a", "--metadata", '{"n":1}', "--json")),
    "add again": (0, ("add", "the fee was paid in full", "--id", "a", "--json")),
    "add from standard input": (0, ("add", "-", "--id", "b", "--json")),
    "search": (0, ("search", "fee", "--json")),
    "search by people": (0, ("search", "fee")),
    "list": (0, ("list", "--json")),
    "get": (0, ("get", "a", "--json")),
    "stats": (0, ("stats",)),
    "wrong usage": (2, ("search", "fee", "--nothing")),
    "wrong input": (2, ("add", "x", "--metadata", "[", "--json")),
    "absent": (3, ("get", "none", "--json")),
    "wrong settings": (4, ("--profile", "production", "search", "fee", "--json")),
    "conflict": (6, ("add", "x", "--id", "a", "--expect-version", "7", "--json")),
    "help": (0, ("search", "--help")),
}


@pytest.fixture(scope="module")
def rust() -> tuple[str, ...]:
    """The Rust program, from ``MNEMIC_TEST_PROGRAM``, else where a build of the repository leaves it."""
    named = os.environ.get("MNEMIC_TEST_PROGRAM") or Path(__file__).parents[2] / "target" / "debug" / "mnemic"
    found = shutil.which(named)
    if found is None:
        why = f"{named} is not there; cargo build -p mnemic-cli makes it, and MNEMIC_TEST_PROGRAM names another"
        if worlds.required("mnemic-program"):
            pytest.fail(why)
        pytest.skip(why)
    return (found,)


def session(program: tuple[str, ...], folder: Path) -> dict[str, tuple[int, str, str]]:
    """All commands on a new memory, without what differs from run to run."""
    folder.mkdir()

    def same(text: str) -> str:
        return RECENCY.sub(lambda number: f"{float(number[0]):.3f}", PASSING.sub("~", text)).replace(
            str(folder), "FOLDER"
        )

    said = {}
    for name, (_, arguments) in COMMANDS.items():
        code, out, complaint = ask(program, folder, "--dir", "m", *arguments, given="the form was filed\n")
        said[name] = (code, same(out), same(complaint))
    return said


def test_exit_codes_are_those_of_the_manual(tmp_path: Path) -> None:
    codes = {name: code for name, (code, _, _) in session(OURS, tmp_path / "ours").items()}
    assert codes == {name: code for name, (code, _) in COMMANDS.items()}


def test_answers_are_those_of_the_rust_program(rust: tuple[str, ...], tmp_path: Path) -> None:
    ours, theirs = session(OURS, tmp_path / "ours"), session(rust, tmp_path / "rust")
    for name in COMMANDS:
        assert ours[name] == theirs[name], name


def test_a_reader_that_goes_away_and_ctrl_c_end_it_quietly(tmp_path: Path) -> None:
    env = worlds.clean(HOME=str(tmp_path))
    away = subprocess.Popen(
        [*OURS, "help", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    assert away.stdout is not None
    assert away.stderr is not None
    away.stdout.close()
    assert away.stderr.read() == ""
    away.stderr.close()
    assert away.wait(20) in (0, 141, -signal.SIGPIPE)
    command = [*OURS, "dev", "stand-in", "voyage", "--port", "0"]
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        assert serving.stdout is not None
        assert serving.stdout.readline().startswith("# Voyage")
        serving.send_signal(signal.SIGINT)
        _, complaint = serving.communicate(timeout=20)
    finally:
        serving.kill()
        serving.wait()
    assert "Traceback" not in complaint
    assert serving.returncode in (0, 130, -signal.SIGINT)
