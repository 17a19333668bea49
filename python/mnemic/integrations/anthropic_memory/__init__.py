"""The memory tool of Claude kept in a memory: the directory ``/memories`` without a disk.

    tool = MnemicMemoryTool(create_embedded_memory_manager("./memory").in_namespace("claude"))
    client.beta.messages.run_tools(model=..., messages=..., tools=[tool])

Not here: what the commands say (`_commands`), how files are kept (`_files`), what paths mean (`_texts`).
"""

from __future__ import annotations

import asyncio
import time

from anthropic.lib.tools import BetaAbstractMemoryTool, BetaAsyncAbstractMemoryTool
from anthropic.types.beta import (
    BetaCacheControlEphemeralParam,
    BetaMemoryTool20250818CreateCommand,
    BetaMemoryTool20250818DeleteCommand,
    BetaMemoryTool20250818InsertCommand,
    BetaMemoryTool20250818RenameCommand,
    BetaMemoryTool20250818StrReplaceCommand,
    BetaMemoryTool20250818ViewCommand,
)

from mnemic.integrations.anthropic_memory import _commands as commands
from mnemic.integrations.anthropic_memory._files import FileRevision, Files, Plan, T
from mnemic.manager import MemoryManager

__all__ = ["FileRevision", "MnemicAsyncMemoryTool", "MnemicMemoryTool"]


class MnemicMemoryTool(BetaAbstractMemoryTool):
    """Claude's memory directory, for ``client.beta.messages.run_tools`` of a synchronous client.

    ``memory`` is where the files are kept: in its namespace and, with ``user_id``, as that person's; two people's files in one
    namespace do not meet, and forgetting the person forgets the files. Give them a namespace of their own unless retrieval shall
    find their text among other records.

    Every command answers what the SDK's own file system tool answers, with these differences: a path that only begins like
    ``/memories`` (``/memories2``) or that has ``..`` once its percent-encoding is undone is refused; a command that fails changes
    nothing; directories always show 4K. Commands that change files expect what they have read: if somebody else was faster, they
    are done again on what is there now, so that no change is lost. Deleting removes a file for good, with its history. A file
    holds at most about 15 million characters.
    """

    def __init__(
        self,
        memory: MemoryManager,
        *,
        user_id: str | None = None,
        cache_control: BetaCacheControlEphemeralParam | None = None,
    ) -> None:
        super().__init__(cache_control=cache_control)
        self._memory = memory
        self._files = Files(user_id)

    def view(self, command: BetaMemoryTool20250818ViewCommand) -> str:
        return self._do(commands.view(self._files, command))

    def create(self, command: BetaMemoryTool20250818CreateCommand) -> str:
        return self._do(commands.create(self._files, command))

    def str_replace(self, command: BetaMemoryTool20250818StrReplaceCommand) -> str:
        return self._do(commands.str_replace(self._files, command))

    def insert(self, command: BetaMemoryTool20250818InsertCommand) -> str:
        return self._do(commands.insert(self._files, command))

    def delete(self, command: BetaMemoryTool20250818DeleteCommand) -> str:
        return self._do(commands.delete(self._files, command))

    def rename(self, command: BetaMemoryTool20250818RenameCommand) -> str:
        return self._do(commands.rename(self._files, command))

    def clear_all_memory(self) -> str:
        """Removes every file for good."""
        return self._do(commands.clear(self._files))

    def history(self, path: str) -> list[FileRevision]:
        """Every revision of a file, newest first, also from before it was renamed. ``ToolError`` if there is no such file."""
        return self._do(commands.history(self._files, path))

    def _do(self, plan: Plan[T]) -> T:
        try:
            step = next(plan)
            while True:
                if isinstance(step, float):
                    time.sleep(step)
                    step = next(plan)
                    continue
                try:
                    answer = self._memory._run(step)
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
        except StopIteration as done:
            found: T = done.value
            return found


class MnemicAsyncMemoryTool(BetaAsyncAbstractMemoryTool):
    """The same for an asynchronous client; see :class:`MnemicMemoryTool`."""

    def __init__(
        self,
        memory: MemoryManager,
        *,
        user_id: str | None = None,
        cache_control: BetaCacheControlEphemeralParam | None = None,
    ) -> None:
        super().__init__(cache_control=cache_control)
        self._memory = memory
        self._files = Files(user_id)

    async def view(self, command: BetaMemoryTool20250818ViewCommand) -> str:
        return await self._do(commands.view(self._files, command))

    async def create(self, command: BetaMemoryTool20250818CreateCommand) -> str:
        return await self._do(commands.create(self._files, command))

    async def str_replace(self, command: BetaMemoryTool20250818StrReplaceCommand) -> str:
        return await self._do(commands.str_replace(self._files, command))

    async def insert(self, command: BetaMemoryTool20250818InsertCommand) -> str:
        return await self._do(commands.insert(self._files, command))

    async def delete(self, command: BetaMemoryTool20250818DeleteCommand) -> str:
        return await self._do(commands.delete(self._files, command))

    async def rename(self, command: BetaMemoryTool20250818RenameCommand) -> str:
        return await self._do(commands.rename(self._files, command))

    async def clear_all_memory(self) -> str:
        """Removes every file for good."""
        return await self._do(commands.clear(self._files))

    async def history(self, path: str) -> list[FileRevision]:
        """Every revision of a file, newest first, also from before it was renamed. ``ToolError`` if there is no such file."""
        return await self._do(commands.history(self._files, path))

    async def _do(self, plan: Plan[T]) -> T:
        try:
            step = next(plan)
            while True:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    step = next(plan)
                    continue
                try:
                    answer = await self._memory._arun(step)
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
        except StopIteration as done:
            found: T = done.value
            return found
