"""The commands of the memory tool: what each does and says, word for word as models know it. Not here: keeping files (`_files`)."""

from __future__ import annotations

from collections.abc import Callable

from anthropic.lib.tools import ToolError
from anthropic.types.beta import (
    BetaMemoryTool20250818CreateCommand,
    BetaMemoryTool20250818DeleteCommand,
    BetaMemoryTool20250818InsertCommand,
    BetaMemoryTool20250818RenameCommand,
    BetaMemoryTool20250818StrReplaceCommand,
    BetaMemoryTool20250818ViewCommand,
)

from mnemic.exceptions import InvalidInputError
from mnemic.integrations.anthropic_memory._files import Blob, Change, FileRevision, Files, Plan, State
from mnemic.integrations.anthropic_memory._texts import MAX_LINES, listing, numbered, resolve


def view(files: Files, command: BetaMemoryTool20250818ViewCommand) -> Plan[str]:
    path, place = command.path, resolve(command.path)

    def look(state: State) -> Plan[str]:
        if state.is_directory(place):
            return listing(path, place, state.entries)
        blob = state.entries.get(place)
        if blob is None:
            raise ToolError(f"The path {path} does not exist. Please provide a valid path.")
        lines = (yield from files.text(state, blob)).split("\n")
        if len(lines) > MAX_LINES:
            raise ToolError(f"File {path} exceeds maximum line limit of 999,999 lines.")
        first = 0
        if command.view_range and len(command.view_range) == 2:
            first = max(1, command.view_range[0]) - 1
            lines = lines[first : len(lines) if command.view_range[1] == -1 else command.view_range[1]]
        return f"Here's the content of {path} with line numbers:\n{numbered(lines, first + 1)}"

    return (yield from files.looked_at(look))


def create(files: Files, command: BetaMemoryTool20250818CreateCommand) -> Plan[str]:
    path, place = command.path, resolve(command.path)
    text = _checked("file_text", command.file_text)

    def decide(state: State) -> Plan[Change]:
        yield from ()
        if state.exists(place):
            raise ToolError(f"File {path} already exists")
        entries = {**state.entries, **_parents(state, place, path)}
        return Change(entries, f"File created successfully at: {path}", written=(place, text))

    return (yield from _changed(files, decide))


def str_replace(files: Files, command: BetaMemoryTool20250818StrReplaceCommand) -> Plan[str]:
    path, place, old = command.path, resolve(command.path), command.old_str
    new = _checked("new_str", command.new_str or "")

    def decide(state: State) -> Plan[Change]:
        text = yield from files.text(state, _file(state, place, path))
        count = text.count(old)
        if count == 0:
            raise ToolError(f"No replacement was performed, old_str `{old}` did not appear verbatim in {path}.")
        if count > 1:
            lines = ", ".join(str(line) for line in _lines_with(text, old))
            raise ToolError(
                f"No replacement was performed. Multiple occurrences of old_str `{old}` in lines: {lines}. "
                "Please ensure it is unique"
            )
        changed = text[: text.find(old)].count("\n")
        edited = text.replace(old, new)
        first = max(0, changed - 2)
        snippet = numbered(edited.split("\n")[first : changed + 3], first + 1)
        answer = (
            "The memory file has been edited. Here is the snippet showing the change (with line numbers):\n" + snippet
        )
        return Change(dict(state.entries), answer, written=(place, edited))

    return (yield from _changed(files, decide))


def insert(files: Files, command: BetaMemoryTool20250818InsertCommand) -> Plan[str]:
    path, place = command.path, resolve(command.path)
    inserted = _checked("insert_text", command.insert_text).rstrip("\n")

    def decide(state: State) -> Plan[Change]:
        text = yield from files.text(state, _file(state, place, path))
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        if not 0 <= command.insert_line <= len(lines):
            raise ToolError(
                f"Invalid `insert_line` parameter: {command.insert_line}. It should be within the range [0, {len(lines)}]."
            )
        lines.insert(command.insert_line, inserted)
        edited = "\n".join(lines)
        if not edited.endswith("\n"):
            edited += "\n"
        return Change(dict(state.entries), f"The file {path} has been edited.", written=(place, edited))

    return (yield from _changed(files, decide))


def delete(files: Files, command: BetaMemoryTool20250818DeleteCommand) -> Plan[str]:
    path, place = command.path, resolve(command.path)
    if place == "":
        raise ToolError("Cannot delete the /memories directory itself")

    def decide(state: State) -> Plan[Change]:
        yield from ()
        if not state.exists(place):
            raise ToolError(f"The path {path} does not exist")
        going = set(state.below(place))
        entries = {name: blob for name, blob in state.entries.items() if name not in going}
        return Change(entries, f"Successfully deleted {path}")

    return (yield from _changed(files, decide))


def rename(files: Files, command: BetaMemoryTool20250818RenameCommand) -> Plan[str]:
    old_path, new_path = command.old_path, command.new_path
    old, new = resolve(old_path), resolve(new_path)
    if old == "":
        raise ToolError("Cannot rename the /memories directory itself")

    def decide(state: State) -> Plan[Change]:
        yield from ()
        if state.exists(new):
            raise ToolError(f"The destination {new_path} already exists")
        if not state.exists(old):
            raise ToolError(f"The path {old_path} does not exist")
        if new.startswith(f"{old}/"):
            raise ToolError(f"Cannot rename {old_path} into itself: {new_path}")
        going = set(state.below(old))
        entries = {name: blob for name, blob in state.entries.items() if name not in going}
        entries.update(_parents(state, new, new_path))
        entries.update({new + name[len(old) :]: state.entries[name] for name in going})
        return Change(entries, f"Successfully renamed {old_path} to {new_path}")

    return (yield from _changed(files, decide))


def clear(files: Files) -> Plan[str]:
    def decide(state: State) -> Plan[Change]:
        yield from ()
        return Change({}, "All memory cleared")

    return (yield from files.change(decide))


def history(files: Files, path: str) -> Plan[list[FileRevision]]:
    place = resolve(path)

    def look(state: State) -> Plan[list[FileRevision]]:
        return (yield from files.revisions(_file(state, place, path)))

    return (yield from files.looked_at(look))


def _changed(files: Files, decide: Callable[[State], Plan[Change]]) -> Plan[str]:
    """Does it; what is larger than memory holds is told to the model."""
    try:
        return (yield from files.change(decide))
    except InvalidInputError as error:
        raise ToolError(str(error)) from error


def _file(state: State, place: str, path: str) -> Blob:
    if not state.exists(place):
        raise ToolError(f"The path {path} does not exist. Please provide a valid path.")
    blob = state.entries.get(place)
    if blob is None:
        raise ToolError(f"The path {path} is not a file.")
    return blob


def _parents(state: State, place: str, path: str) -> dict[str, None]:
    """The directories that have to be there for a path."""
    names = place.split("/")[:-1]
    parents = ["/".join(names[: depth + 1]) for depth in range(len(names))]
    for parent in parents:
        if state.entries.get(parent) is not None:
            raise ToolError(f"The path {path} cannot be made: /memories/{parent} is a file")
    return dict.fromkeys(parents)


def _lines_with(text: str, wanted: str) -> list[int]:
    """The line of each place where a text begins, overlapping ones included."""
    lines = []
    start = text.find(wanted)
    while start != -1:
        lines.append(text.count("\n", 0, start) + 1)
        start = text.find(wanted, start + 1)
    return lines


def _checked(name: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ToolError(f"Invalid `{name}` parameter: half of a surrogate pair at character {error.start}") from None
    return text
