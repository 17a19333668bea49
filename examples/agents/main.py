"""The assistant in a terminal: commands from the keyboard or from a script. Not here: what it does (`case_assistant`)."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator

from case_assistant.commands import Actor, Role
from case_assistant.groupagents.mega_agent import AuditError, MegaAgent
from case_assistant.memory import choose_memory
from case_assistant.model import Model, OpenAICompatibleModel
from case_assistant.offline import offline_model

from mnemic import MemoryManager, MnemicError, create_embedded_memory_manager

_USAGE = """Commands are lines such as: get_case client=anna case=o1a
`as ROLE NAME` changes who gives them (roles: client, paralegal, lawyer, admin); `help` lists those of the role; `quit` ends.
In a script a command with `- ` before it is expected to be refused or to fail; any other one that does ends the script with status 1.
Lines that begin with # are comments."""


def main() -> int:
    """Runs the program and gives its exit status: 0, 1 if a script ended early, 2 if it could not begin."""
    given = _arguments()
    try:
        memory = create_embedded_memory_manager(given.memory) if given.memory else choose_memory()
        model = _model(given)
    except (MnemicError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return asyncio.run(_run(memory, model, given.script))
    except (MnemicError, OSError, UnicodeDecodeError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_USAGE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--script", help="a file with one command a line; without it they are read from the keyboard")
    parser.add_argument("--memory", metavar="DIR", help="keep the memory in this directory; without it ENV decides")
    parser.add_argument(
        "--model-url", metavar="URL", help="an OpenAI-compatible endpoint; without it plain rules decide"
    )
    parser.add_argument("--model", metavar="NAME", help="the endpoint's name for the model; its key is OPENAI_API_KEY")
    given = parser.parse_args()
    if bool(given.model_url) != bool(given.model):
        parser.error("--model-url and --model go together")
    return given


def _model(given: argparse.Namespace) -> Model:
    if not given.model_url:
        return offline_model()
    return OpenAICompatibleModel(given.model_url, given.model, api_key=os.getenv("OPENAI_API_KEY"))


async def _run(memory: MemoryManager, model: Model, script: str | None) -> int:
    agent, actor = MegaAgent(memory, model=model), Actor("guest", Role.CLIENT)
    async with memory:
        async for line in _keyboard() if script is None else _file(script):
            if line == "quit":
                break
            if line.startswith("as "):
                try:
                    actor = _actor(line)
                except ValueError as error:
                    print(error)
                    if script is not None:
                        return 1
                continue
            may_fail, line = line.startswith("- "), line.removeprefix("- ")
            try:
                reply = await agent.handle_line(line, actor)
            except AuditError as error:
                print(error)
                return 1
            if script is not None:
                print(f"{actor.role} {actor.user_id}> {line}")
            print(reply.text if reply.outcome == "done" else f"{reply.outcome}: {reply.text}")
            if script is not None and reply.outcome != "done" and not may_fail:
                return 1
    return 0


def _actor(line: str) -> Actor:
    words = line.split()
    if len(words) != 3 or words[1] not in list(Role):
        raise ValueError(f"as: expected ROLE NAME with one of the roles {', '.join(Role)}, found {line[3:]!r}")
    return Actor(words[2], Role(words[1]))


async def _file(path: str) -> AsyncIterator[str]:
    with open(path, encoding="utf-8") as file:  # noqa: ASYNC230 - a script is short, and nothing else runs meanwhile
        lines = [line.strip() for line in file]
    for line in lines:
        if line and not line.startswith("#"):
            yield line


async def _keyboard() -> AsyncIterator[str]:
    print(_USAGE)
    while True:
        try:
            line = (await asyncio.to_thread(input, "> ")).strip()
        except EOFError:
            return
        if line:
            yield line


if __name__ == "__main__":
    sys.exit(main())
