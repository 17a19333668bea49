"""A memory and its process: forks, Ctrl-C, the interpreter's end, two processes on one memory. Not here: threads
(`test_concurrency`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import worlds

import mnemic
from mnemic import MemoryManager, UnsupportedError

# Threads of the parent are not in the child, and it says so to everybody who forks.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def in_a_child(work: Callable[[], object]) -> str:
    """Runs something in a forked process and gives the text of what it answered or raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(30)
            told = str(work())
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    assert status == 0, "the child ended by itself"
    return told


def test_a_memory_stays_in_its_process(open_memory: Callable[..., MemoryManager], backend: str) -> None:
    before = open_memory()
    before.write({"id": "a", "text": "written before"})

    def anew() -> object:
        memory = open_memory()
        memory.write({"id": "c", "text": "written by the child"})
        return memory.get(["c"])[0].text  # type: ignore[union-attr]

    for call in (
        lambda: before.get(["a"]),
        lambda: before.write("x"),
        lambda: before.health_check_sync(),
        before.close,
    ):
        told = in_a_child(call)
        assert told.startswith("UnsupportedError: this memory was opened before the process forked"), told
    assert in_a_child(anew) == "written by the child"
    assert [item.id for item in before.semantic.all()] == (["a"] if backend == "dev" else ["a", "c"])
    before.write({"id": "b", "text": "and the parent goes on"})
    assert before.get(["b"])[0].version == 1  # type: ignore[union-attr]


def test_a_child_that_lets_go_of_a_memory_does_not_wait_for_threads_of_its_parent(tmp_path: Path) -> None:
    """What a worker's initializer does when it takes another memory by the same name, and a worker that ends as programs do."""
    program = textwrap.dedent(
        """
        import os, sys
        from mnemic import create_embedded_memory_manager
        memory = create_embedded_memory_manager(sys.argv[1])
        memory.write("written before")
        children = []
        for way in ("another", "none", "exit"):
            child = os.fork()
            if child == 0:
                if way == "another":
                    memory = create_embedded_memory_manager(sys.argv[1])
                    memory.write("written by the child")
                elif way == "none":
                    del memory
                sys.exit(0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        assert memory.stats()["records"] == 2
        """
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_child_in_a_loop_is_refused_too(memory: MemoryManager) -> None:
    import asyncio

    memory.write("written before")
    assert in_a_child(lambda: asyncio.run(memory.aretrieve("x"))).startswith(UnsupportedError.__name__)


def test_a_fork_while_calls_are_under_way(memory: MemoryManager) -> None:
    busy = threading.Thread(target=lambda: [memory.write(f"statement {n}") for n in range(200)])
    busy.start()
    for _ in range(5):
        assert in_a_child(lambda: mnemic.MemoryManager().write("x")[0].version) == "1"
    busy.join(60)
    assert memory.stats()["records"] == 200


def program(folder: Path, code: str) -> Path:
    script = folder / "program.py"
    script.write_text(textwrap.dedent(code))
    return script


OPENINGS = {
    "dev": "mnemic.create_dev_memory_manager()",
    "embedded": "mnemic.create_embedded_memory_manager('memory')",
    "postgres": "mnemic.create_production_memory_manager()",
}


@pytest.fixture
def opening(backend: str, isolated: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The code that opens a memory of the backend in a program started here."""
    if backend == "postgres":
        database: worlds.Database = request.getfixturevalue("new_database")
        for name, value in database.environment(tmp_path, MNEMIC_INDEX="pgvector", MNEMIC_EMBEDDER="static").items():
            isolated.setenv(name, value)
    return OPENINGS[backend]


ENDS = {
    "a task of a loop that ended": """
        async def main():
            tasks = [asyncio.create_task(memory.awrite([f"{n} {m}" for m in range(200)])) for n in range(20)]
            await asyncio.sleep(0.01)
        asyncio.run(main())
    """,
    "threads that nobody waits for": """
        def work():
            while True:
                memory.write([f"{n} of many" for n in range(200)])
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.3)
    """,
    "a loop in a thread that nobody waits for": """
        async def forever():
            while True:
                await memory.awrite([f"{n} of many" for n in range(200)])
        threading.Thread(target=lambda: asyncio.run(forever()), daemon=True).start()
        time.sleep(0.3)
    """,
    "a loop that was closed under its calls": """
        loop = asyncio.new_event_loop()
        waiting = [loop.create_task(memory.awrite([f"{n} {m}" for m in range(100)])) for n in range(20)]
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
        loop.close()
    """,
    "an embedder of the user's that is still at work": """
        class Slow:
            dimension = 3
            async def aembed(self, texts):
                await asyncio.sleep(60)
        slow = mnemic.create_dev_memory_manager(embedder=Slow())
        threading.Thread(target=lambda: slow.write("x"), daemon=True).start()
        time.sleep(0.3)
    """,
}


@pytest.mark.parametrize("end", ENDS)
def test_the_interpreter_ends_while_calls_are_under_way(end: str, opening: str, tmp_path: Path) -> None:
    head = f"import asyncio, threading, time, mnemic\nmemory = {opening}\nmemory.write('x')\n"
    script = program(tmp_path, "")
    script.write_text(head + textwrap.dedent(ENDS[end]) + "print('ended')\n")
    begun = time.monotonic()
    ended = worlds.run_python(str(script), env=dict(os.environ), cwd=tmp_path, timeout=30)
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr
    assert "panicked" not in ended.stderr
    assert "Fatal" not in ended.stderr
    assert time.monotonic() - begun < 10


def test_ctrl_c_interrupts_a_call_that_waits(tmp_path: Path) -> None:
    script = program(
        tmp_path,
        """
        import asyncio, signal, sys, mnemic
        # Whoever runs the tests may ignore Ctrl-C, as shells do for what runs in the background.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        class Slow:
            dimension = 3
            async def aembed(self, texts):
                if "slow" in texts[0]:
                    print("waiting", flush=True)
                    await asyncio.sleep(60)
                return [[1, 0, 0] for _ in texts]
        memory = mnemic.create_dev_memory_manager(embedder=Slow())
        try:
            memory.write("a slow one")
        except KeyboardInterrupt:
            print("interrupted", memory.stats()["records"], memory.write("next")[0].version)
            sys.exit(3)
        """,
    )
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
        assert time.monotonic() - begun < 8
        assert (process.returncode, rest) == (3, "interrupted 0 1\n")
    finally:
        process.kill()
        process.wait()


def test_two_processes_share_a_memory(opening: str, backend: str, tmp_path: Path) -> None:
    code = f"import mnemic\nmemory = {opening}\n"
    first = worlds.run_python(
        "-c", code + "memory.write({'id': 'a', 'text': 'written by one process'})", env=dict(os.environ), cwd=tmp_path
    )
    assert first.returncode == 0, first.stderr
    second = worlds.run_python(
        "-c",
        code + "print([item.id for item in memory.retrieve('written by one')])",
        env=dict(os.environ),
        cwd=tmp_path,
    )
    assert (second.returncode, second.stdout) == (0, "[]\n" if backend == "dev" else "['a']\n"), second.stderr
