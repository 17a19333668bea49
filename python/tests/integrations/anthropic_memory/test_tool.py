"""What the memory tool promises beyond the SDK's own. Not here: the comparison with it (`test_differential`)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anthropic import AsyncAnthropic
from memory_commands import ask

from mnemic import CorruptedError, MemoryManager, create_dev_memory_manager, create_embedded_memory_manager
from mnemic.integrations.anthropic_memory import MnemicAsyncMemoryTool, MnemicMemoryTool

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(params=["dev", "embedded"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryManager:
    return (
        create_dev_memory_manager() if request.param == "dev" else create_embedded_memory_manager(tmp_path / "memory")
    )


def create(path: str, text: str) -> dict[str, Any]:
    return {"command": "create", "path": path, "file_text": text}


def view(path: str) -> dict[str, Any]:
    return {"command": "view", "path": path}


def replaced(path: str, old: str, new: str) -> dict[str, Any]:
    return {"command": "str_replace", "path": path, "old_str": old, "new_str": new}


def readable(memory: MemoryManager) -> str:
    """Everything that can be read of the namespace: records, their metadata and their history."""
    listed = {str(record.id) for record in memory.list(limit=1000).items}
    # Parts that files once had are hidden, and have a history all the same.
    roots = {id for id in listed if id.count(".") == 1}
    parts = {f"{root}.{number}.{part}" for root in roots for number in range(12) for part in range(6)}
    revisions = [revision.record for id in sorted(listed | parts) for revision in memory.history(id)]
    return "\n".join(f"{record.text} {record.metadata}" for record in revisions if record is not None)


HOSTILE = [
    "/memories/../secret",
    "/memories/a/../../secret",
    "/memories/../../memories/a",
    "/memories/%2e%2e/secret",
    "/memories/%2E%2E%2Fsecret",
    "/memories/a%2f..%2f..%2fsecret",
    "/memories/%252e%252e%252fsecret",
    "/memories/..%5c..%5csecret",
    "/memories/..\\..\\secret",
    "/memories2/a",
    "/memoriesa",
    "/etc/passwd",
    "memories/a",
    "C:\\memories\\a",
    "/memories/a\0b",
    "/memories/\ud800",
    "/memories/" + "x" * 256,
    "/memories" + "/x" * 3000,
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_that_leaves_the_directory_is_refused_by_every_command(path: str) -> None:
    memory = create_dev_memory_manager()
    tool = MnemicMemoryTool(memory)
    ask(tool, create("/memories/good", "text"))
    before = readable(memory)
    commands = [
        view(path),
        create(path, "text"),
        replaced(path, "a", "b"),
        {"command": "insert", "path": path, "insert_line": 0, "insert_text": "x"},
        {"command": "delete", "path": path},
        {"command": "rename", "old_path": path, "new_path": "/memories/other"},
        {"command": "rename", "old_path": "/memories/good", "new_path": path},
    ]
    for command in commands:
        kind, text = ask(tool, command)
        assert kind == "refused", command
        assert "Path" in text
    assert readable(memory) == before


def test_a_percent_sign_in_a_name_is_only_a_character(memory: MemoryManager) -> None:
    tool = MnemicMemoryTool(memory)
    for name in ["100%", "%41", "a%20b", "...", "..a"]:
        assert ask(tool, create(f"/memories/{name}", name))[0] == "ok"
    assert ask(tool, view("/memories/A"))[0] == "refused"
    assert ask(tool, view("/memories/%41"))[1].endswith("\t%41")


@pytest.mark.parametrize("path", ["/memories", "/memories/", "/memories/a/..", "/memories/../memories"])
def test_the_directory_itself_stays(memory: MemoryManager, path: str) -> None:
    tool = MnemicMemoryTool(memory)
    ask(tool, create("/memories/a/b", "text"))
    assert ask(tool, {"command": "delete", "path": path}) == ("refused", "Cannot delete the /memories directory itself")
    assert ask(tool, {"command": "rename", "old_path": path, "new_path": "/memories/x"}) == (
        "refused",
        "Cannot rename the /memories directory itself",
    )
    assert ask(tool, view("/memories/a/b"))[0] == "ok"


def test_a_command_that_fails_changes_nothing(memory: MemoryManager) -> None:
    tool = MnemicMemoryTool(memory)
    ask(tool, create("/memories/f", "text"))
    before, version = ask(tool, view("/memories")), memory.stats()["records"]
    assert (
        ask(tool, {"command": "rename", "old_path": "/memories/absent", "new_path": "/memories/new/place"})[0]
        == "refused"
    )
    assert ask(tool, create("/memories/f/under", "text"))[0] == "refused"
    assert ask(tool, create("/memories/half", "a\ud800"))[0] == "refused"
    assert ask(tool, view("/memories")) == before
    assert memory.stats()["records"] == version


def test_a_file_that_is_too_large_is_refused_by_its_limit_and_nothing_is_kept() -> None:
    tool = MnemicMemoryTool(create_dev_memory_manager())
    kind, text = ask(tool, create("/memories/huge", "x" * 17_000_000))
    assert kind == "refused"
    assert "expected at most about 159" in text
    assert ask(tool, view("/memories"))[1].count("\n") == 1


def test_history_tells_every_revision_also_across_renames(memory: MemoryManager) -> None:
    tool = MnemicMemoryTool(memory)
    texts = ["one", "o" * 40_000, "x", "x" * 20_000 + "\0", ""]
    ask(tool, create("/memories/a", texts[0]))
    for old, new in pairwise(texts):
        assert ask(tool, replaced("/memories/a", old, new))[0] == "ok"
    ask(tool, create("/memories/b", "another"))
    ask(tool, {"command": "rename", "old_path": "/memories/a", "new_path": "/memories/c/d"})
    history = tool.history("/memories/c/d")
    assert [revision.text for revision in history] == texts[::-1]
    assert [revision.at for revision in history] == sorted((revision.at for revision in history), reverse=True)
    with pytest.raises(Exception, match="does not exist"):
        tool.history("/memories/a")
    # A new file at the old path begins a history of its own.
    ask(tool, create("/memories/a", "fresh"))
    assert [revision.text for revision in tool.history("/memories/a")] == ["fresh"]


def test_what_was_deleted_is_nowhere_to_be_read_neither_text_nor_name(memory: MemoryManager) -> None:
    tool = MnemicMemoryTool(memory)
    ask(tool, create("/memories/people/petrova-diagnosis.md", "passport 4711 " * 3000))
    ask(tool, replaced("/memories/people/petrova-diagnosis.md", "passport 4711 " * 3000, "passport"))
    ask(tool, create("/memories/people/okafor.md", "stays"))
    assert "passport" in readable(memory)
    assert "diagnosis" in readable(memory)
    ask(tool, {"command": "delete", "path": "/memories/people/petrova-diagnosis.md"})
    left = readable(memory)
    assert "passport" not in left
    assert "diagnosis" not in left
    assert "stays" in left
    assert not any("passport" in found.text for found in memory.retrieve("passport", include_hidden=True))
    assert tool.clear_all_memory() == "All memory cleared"
    assert "stays" not in readable(memory)
    assert "okafor" not in readable(memory)
    assert ask(tool, view("/memories"))[1].count("\n") == 1


def test_an_interrupted_removal_is_finished_by_the_next_change(
    memory: MemoryManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = MnemicMemoryTool(memory)
    ask(tool, create("/memories/a", "passport 4711"))

    def interrupted() -> Any:
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr(tool._files, "_sweep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tool.call({"command": "delete", "path": "/memories/a"})
    assert ask(tool, view("/memories/a"))[0] == "refused"
    ask(tool, create("/memories/b", "next"))
    assert "passport" not in readable(memory)


def test_edits_at_once_lose_nothing(memory: MemoryManager) -> None:
    """Each thread has a tool of its own, as processes on one server have."""
    ask(MnemicMemoryTool(memory), create("/memories/list", "start\n"))
    answers: list[tuple[str, str]] = []

    def work(worker: int) -> None:
        tool = MnemicMemoryTool(memory)
        for step in range(8):
            line = {"insert_line": 1, "insert_text": f"{worker}:{step}"}
            answers.append(ask(tool, {"command": "insert", "path": "/memories/list", **line}))
            answers.append(ask(tool, create(f"/memories/{worker}/{step}", "x")))
            shown = ask(tool, view("/memories/list"))
            assert f"{worker}:{step}" in shown[1]

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 80
    assert {kind for kind, _ in answers} == {"ok"}
    tool = MnemicMemoryTool(memory)
    lines = [line.split("\t")[1] for line in ask(tool, view("/memories/list"))[1].split("\n")[1:]]
    assert lines[0] == "start"
    assert sorted(lines[1:-1]) == sorted(f"{worker}:{step}" for worker in range(5) for step in range(8))
    assert len(tool.history("/memories/list")) == 41


def test_of_two_that_create_a_file_at_once_one_is_told_that_it_exists(memory: MemoryManager) -> None:
    async def both() -> list[Any]:
        tools = [MnemicAsyncMemoryTool(memory) for _ in range(6)]
        calls = [tool.call(create("/memories/a/b", str(i))) for i, tool in enumerate(tools)]
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = [str(answer) for answer in asyncio.run(both())]
    assert answers.count("File created successfully at: /memories/a/b") == 1
    assert answers.count("File /memories/a/b already exists") == 5


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("a", None), ("a.0", "a"), ("' OR 1=1 --", '"'), ("x", "X")])
def test_people_do_not_see_each_other_s_files(memory: MemoryManager, one: str, other: str | None) -> None:
    mine, theirs = MnemicMemoryTool(memory, user_id=one), MnemicMemoryTool(memory, user_id=other)
    ask(mine, create("/memories/secret", "mine"))
    assert ask(theirs, view("/memories/secret"))[0] == "refused"
    assert ask(theirs, create("/memories/secret", "theirs"))[0] == "ok"
    theirs.clear_all_memory()
    assert ask(mine, view("/memories/secret"))[1].endswith("\tmine")
    memory.forget(user_id=one)
    assert ask(mine, view("/memories/secret"))[0] == "refused"
    assert ask(mine, create("/memories/secret", "again"))[0] == "ok"


def test_consolidation_leaves_files_alone(memory: MemoryManager) -> None:
    tool = MnemicMemoryTool(memory)
    for name in "abc":
        ask(tool, create(f"/memories/{name}", "the very same text"))
    ask(tool, replaced("/memories/a", "the very same text", "x" * 40_000))
    ask(tool, replaced("/memories/a", "x" * 40_000, "short"))
    assert memory.consolidate().deduplicated == 0
    assert ask(tool, view("/memories/a"))[1].endswith("\tshort")
    assert ask(tool, replaced("/memories/a", "short", "y" * 40_000))[0] == "ok"
    for name in "bc":
        assert ask(tool, view(f"/memories/{name}"))[1].endswith("\tthe very same text")


def test_a_part_that_somebody_removed_is_told_and_not_shown_as_less(memory: MemoryManager) -> None:
    tool = MnemicMemoryTool(memory)
    ask(tool, create("/memories/a", "x" * 40_000))
    part = next(record for record in memory.list(limit=100).items if record.metadata.get("part") == 1)
    memory.forget(ids=[str(part.id)])
    with pytest.raises(CorruptedError, match="expected every part of file"):
        tool.call(view("/memories/a"))
    assert ask(tool, {"command": "delete", "path": "/memories/a"})[0] == "ok"


def test_files_survive_reopening(tmp_path: Path) -> None:
    with create_embedded_memory_manager(tmp_path) as memory:
        ask(MnemicMemoryTool(memory), create("/memories/a/b", "text " * 10_000))
    with create_embedded_memory_manager(tmp_path) as memory:
        assert ask(MnemicMemoryTool(memory), view("/memories/a/b"))[1].endswith("text " * 10_000)


def test_retrieval_finds_what_files_say(memory: MemoryManager) -> None:
    ask(MnemicMemoryTool(memory), create("/memories/a", "The interview takes place in Dallas."))
    assert "Dallas" in memory.retrieve("where is the interview?")[0].text


def test_it_presents_itself_as_the_sdk_s_tool(memory: MemoryManager) -> None:
    tool = MnemicMemoryTool(memory, cache_control={"type": "ephemeral"})
    assert tool.to_dict() == {"type": "memory_20250818", "name": "memory", "cache_control": {"type": "ephemeral"}}


async def test_a_loop_of_messages_runs_the_asynchronous_tool(memory: MemoryManager) -> None:
    script = [create("/memories/a", "text"), view("/memories/../x"), view("/memories/a")]
    results: list[Any] = []
    steps = iter(range(len(script) + 1))

    def respond(request: httpx2.Request) -> httpx2.Response:
        # The SDK sends only what is new of a conversation, so the number of the message is counted here.
        step = next(steps)
        if step:
            results.append(json.loads(request.content)["messages"][-1]["content"][0])
        more = step < len(script)
        text = {"type": "text", "text": "done"}
        message = {
            "id": f"m{step}",
            "type": "message",
            "role": "assistant",
            "model": "scripted",
            "content": [
                {"type": "tool_use", "id": f"t{step}", "name": "memory", "input": script[step]} if more else text
            ],
            "stop_reason": "tool_use" if more else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        return httpx2.Response(200, json=message)

    client = AsyncAnthropic(api_key="none", http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(respond)))
    runner = client.beta.messages.tool_runner(
        model="scripted",
        max_tokens=100,
        messages=[{"role": "user", "content": "go"}],
        tools=[MnemicAsyncMemoryTool(memory)],
    )
    last = await runner.until_done()
    assert last.content[0].type == "text"
    assert [result.get("is_error", False) for result in results] == [False, True, False]
    assert results[1]["content"] == "Path /memories/../x would escape /memories directory"
    assert results[2]["content"].endswith("     1\ttext")


def test_the_example_runs() -> None:
    example = REPOSITORY / "examples/python/anthropic_memory_tool.py"
    ran = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "refused: Path /memories/../etc/passwd would escape /memories directory" in ran.stdout
    assert "answer: The interview is in Dallas." in ran.stdout
    assert [line for line in ran.stdout.splitlines() if line.startswith("revision:")] == [
        "revision: Interview: Dallas, 3 July",
        "revision: Interview: Austin",
    ]
