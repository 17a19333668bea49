"""The terminal program of `examples/agents` and the commands of its README, in processes of their own.
Not here: the workflow (`test_workflow`), the agents (`python/tests/test_agents.py`)."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import worlds

ROOT = Path(__file__).resolve().parents[4]
AGENTS = ROOT / "examples" / "agents"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Nothing of this machine decides about memories or models."""
    return worlds.clean(HOME=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")


def program(*arguments: str, env: dict[str, str], cwd: Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(AGENTS / "main.py"), *arguments]
    return subprocess.run(
        command, env=env, cwd=cwd, input=typed, timeout=120, capture_output=True, text=True, check=False
    )


def script(place: Path, *lines: str) -> str:
    place.joinpath("script.txt").write_text("\n".join(lines), encoding="utf-8")
    return "script.txt"


def readme() -> str:
    return (AGENTS / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """The commands of the README that need no server: those of its blocks marked ``sh``."""
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", readme(), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "pip "))]


def test_the_readme_has_commands() -> None:
    assert len(commands()) >= 3
    assert any("--script" in command for command in commands())


def test_the_commands_of_the_readme_run_one_after_another(env: dict[str, str], tmp_path: Path) -> None:
    # They are given at the root of the repository; what they keep goes elsewhere.
    for name in ("examples",):
        (tmp_path / name).symlink_to(ROOT / name)
    for command in commands():
        words = shlex.split(command)
        settings = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
        words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
        assert words[0] == "python"
        done = subprocess.run(
            [sys.executable, *words[1:]],
            env=env | settings,
            cwd=tmp_path,
            input="quit\n",
            timeout=120,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)


def test_the_readme_shows_what_the_demo_says(env: dict[str, str], tmp_path: Path) -> None:
    done = program("--script", str(AGENTS / "demo.txt"), env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = re.findall(r"```text\n(.*?)```", readme(), re.DOTALL)
    assert shown
    for block in shown:
        for line in block.splitlines():
            assert line in done.stdout.splitlines(), line


def test_every_command_is_in_the_readme_and_in_the_demo() -> None:
    sys.path.insert(0, str(AGENTS))
    from case_assistant.commands import COMMANDS, Role

    demo = (AGENTS / "demo.txt").read_text(encoding="utf-8")
    for name, spec in COMMANDS.items():
        roles = "everybody" if spec.roles == set(Role) else ", ".join(role for role in Role if role in spec.roles)
        assert f"| `{name}` | {roles} |" in readme(), name
        assert name in ("help", "search_cases") or re.search(rf"^(- )?{name}\b", demo, re.MULTILINE), name


def test_a_script_ends_at_the_first_command_that_was_not_to_fail(env: dict[str, str], tmp_path: Path) -> None:
    name = script(tmp_path, "as client anna", "- get_case case=none", "get_case case=none", "help")
    done = program("--script", name, env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.count("failed: case: expected one of the client 'anna'") == 2
    assert "search_cases" not in done.stdout


def test_the_keyboard_is_listened_to_until_its_end(env: dict[str, str], tmp_path: Path) -> None:
    typed = "as judge x\nget_case case=o1a\nas paralegal kim\ncreate_case client=anna case=o1a title='A petition'\n"
    done = program(env=env, cwd=tmp_path, typed=typed)
    assert done.returncode == 0
    assert "as: expected ROLE NAME" in done.stdout
    # Before anybody says who they are, they are a client without a case.
    assert "failed: case: expected one of the client 'guest'" in done.stdout
    assert "Case o1a: A petition (intake). [version 1, by kim]" in done.stdout


def test_env_decides_where_no_directory_is_named(env: dict[str, str], tmp_path: Path) -> None:
    misspelled = program(env=env | {"ENV": "prod"}, cwd=tmp_path)
    assert (misspelled.returncode, "ENV: expected development" in misspelled.stderr) == (2, True)
    production = program(env=env | {"ENV": "production"}, cwd=tmp_path)
    assert (production.returncode, "POSTGRES_DSN" in production.stderr) == (2, True)
    named = program("--memory", "kept", env=env | {"ENV": "prod"}, cwd=tmp_path, typed="quit\n")
    assert named.returncode == 0
    assert (tmp_path / "kept").is_dir()


@pytest.mark.parametrize("arguments", [["--model", "tiny"], ["--model-url", "nonsense", "--model", "tiny"]])
def test_settings_that_make_no_sense_are_told(arguments: list[str], env: dict[str, str], tmp_path: Path) -> None:
    done = program(*arguments, env=env, cwd=tmp_path)
    assert done.returncode == 2
    assert "model" in done.stderr or "base_url" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_script_that_is_not_there_is_told(env: dict[str, str], tmp_path: Path) -> None:
    done = program("--script", "nowhere.txt", env=env, cwd=tmp_path)
    assert (done.returncode, "nowhere.txt" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_a_memory_in_a_directory_outlives_the_program(env: dict[str, str], tmp_path: Path) -> None:
    told = script(
        tmp_path,
        "as paralegal kim",
        "create_case client=anna case=o1a title=Petition",
        "message client=anna case=o1a text='My OPT ends on June 30. You need my passport copy.'",
    )
    assert program("--memory", "kept", "--script", told, env=env, cwd=tmp_path).returncode == 0
    asked = script(
        tmp_path,
        "as client anna",
        "message case=o1a text='I sent the passport copy. When does my OPT end?'",
        "as admin root",
        "audit",
    )
    done = program("--memory", "kept", "--script", asked, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "recalled: My OPT ends on June 30." in done.stdout
    assert "paralegal kim  create_case" in done.stdout


KILLED = """
import asyncio, os, sys
sys.path.insert(0, {agents!r})
from case_assistant.commands import Actor, Role
from case_assistant.groupagents.mega_agent import MegaAgent
from mnemic import create_embedded_memory_manager

async def main():
    agent, kim = MegaAgent(create_embedded_memory_manager("kept")), Actor("kim", Role.PARALEGAL)
    await agent.handle_line("create_case client=anna case=o1a title=Petition", kim)
    reply = await agent.handle_line("message client=anna case=o1a text='My OPT ends on June 30.'", kim)
    assert reply.outcome == "done", reply.text
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_what_was_answered_is_kept_also_when_the_program_is_killed(env: dict[str, str], tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(agents=str(AGENTS))], env=env, cwd=tmp_path, timeout=120, check=False
    )
    assert killed.returncode == -9
    asked = script(
        tmp_path, "as client anna", "recall case=o1a query='When does my OPT end?'", "as admin root", "audit"
    )
    done = program("--memory", "kept", "--script", asked, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "My OPT ends on June 30." in done.stdout
    assert "paralegal kim  message case=o1a client=anna  done" in done.stdout


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        given = json.loads(asked["messages"][-1]["content"])
        fact = {"facts": [{"kind": "semantic", "text": f"By {asked['model']}: {given['message']}"}]}
        content = json.dumps(fact) if given["task"] == "reflect" else "The endpoint's summary."
        body = json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}).encode()
        authorized = self.headers["Authorization"] == "Bearer sk-test"
        self.send_response(200 if authorized else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    """An OpenAI-compatible endpoint on loopback that wants the key ``sk-test``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def test_a_model_behind_an_endpoint_decides_what_is_learned(endpoint: str, env: dict[str, str], tmp_path: Path) -> None:
    told = script(
        tmp_path,
        "as paralegal kim",
        "create_case client=anna case=o1a title=Petition",
        "message client=anna case=o1a text='My OPT ends on June 30.'",
    )
    arguments = ("--model-url", endpoint, "--model", "tiny", "--script", told)
    done = program(*arguments, env=env | {"OPENAI_API_KEY": "sk-test"}, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "learned (semantic): By tiny: My OPT ends on June 30." in done.stdout
    assert "summary: The endpoint's summary." in done.stdout
    refused = program(*arguments, env=env, cwd=tmp_path)
    assert refused.returncode == 1
    assert "failed: 127.0.0.1: status 401" in refused.stdout


def test_the_example_is_typed_throughout() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), "main.py"],
        cwd=AGENTS,
        env=os.environ | {"MYPY_CACHE_DIR": os.devnull},
        timeout=300,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
