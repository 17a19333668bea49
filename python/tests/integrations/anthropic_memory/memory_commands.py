"""What the tests of the memory tool share: running a command, on ours and on the SDK's own. Not here: any test."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from anthropic.lib.tools import ToolError

Command = dict[str, Any]


def ask(tool: Any, command: Command) -> tuple[str, str]:
    """What a tool answers: ``("ok", text)``, ``("refused", text)`` for the model, or ``("broken", name)`` for another exception."""
    try:
        found = tool.call(command)
        return ("ok", asyncio.run(found) if asyncio.iscoroutine(found) else found)
    except ToolError as error:
        return ("refused", str(error.content))
    except Exception as error:  # The SDK's own tool lets errors of the system through.
        return ("broken", type(error).__name__)


def without_directory_sizes(text: str) -> str:
    """A listing without what each file system reports as the size of a directory: of the first line, and of names that end in "/"."""
    header, *lines = text.split("\n")
    if not header.startswith("Here're the files"):
        return text
    sized = [
        re.sub(r"^[^\t]*\t", "-\t", line) if number == 0 or line.endswith("/") else line
        for number, line in enumerate(lines)
    ]
    return "\n".join([header, *sized])
