"""What a path of the memory tool means, and how directories and files are shown. Not here: files themselves (`_files`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from anthropic.lib.tools import ToolError

if TYPE_CHECKING:
    from mnemic.integrations.anthropic_memory._files import Blob

ROOT = "/memories"
MAX_LINES = 999_999
_NUMBER_WIDTH = len(str(MAX_LINES))
# What file systems allow, so that a memory can be written to one.
_NAME_BYTES = 255
_PATH_BYTES = 4096
# What a directory shows as its size, as on a common file system.
_DIRECTORY_SIZE = 4096


def resolve(path: str) -> str:
    """The place below ``/memories`` that a path means, ``""`` for the directory itself."""
    if path != ROOT and not path.startswith(f"{ROOT}/"):
        raise ToolError(f"Path must start with /memories, got: {path}")
    place = _walk(path)
    # A name may hold a percent sign or a backslash; it may not become a way out for whoever decodes it.
    if place is None or any(".." in _decoded(name).split("/") for name in place.split("/")):
        raise ToolError(f"Path {path} would escape /memories directory")
    _check_names(path, place)
    return place


def _decoded(name: str) -> str:
    """A name without percent-encoding, however often it was encoded, and with all separators alike."""
    while (further := unquote(name)) != name:
        name = further
    return name.replace("\\", "/")


def _walk(path: str) -> str | None:
    """Follows a path from above ``/memories``; ``None`` if it goes further up or ends elsewhere."""
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            if not names:
                return None
            names.pop()
        elif name not in ("", "."):
            names.append(name)
    return "/".join(names[1:]) if names[:1] == [ROOT[1:]] else None


def _check_names(path: str, place: str) -> None:
    try:
        sizes = [len(name.encode()) for name in place.split("/")]
    except UnicodeEncodeError:
        raise ToolError(f"Path {path!r} is not valid text") from None
    if "\0" in place:
        raise ToolError(f"Path {path!r} holds a null character")
    if max(sizes) > _NAME_BYTES or sum(sizes) + len(sizes) > _PATH_BYTES:
        raise ToolError(f"Path is too long: at most {_NAME_BYTES} bytes a name and {_PATH_BYTES} bytes in all")


def size_of(count: int) -> str:
    """Bytes as people read them: ``0B``, ``512B``, ``1.5K``."""
    units = "BKMG"
    power = min(max(count.bit_length() - 1, 0) // 10, len(units) - 1)
    size = count / 1024**power
    return f"{int(size)}{units[power]}" if size == int(size) else f"{size:.1f}{units[power]}"


def listing(shown: str, place: str, entries: Mapping[str, Blob | None]) -> str:
    """A directory, two levels deep, without hidden names."""
    prefix = f"{place}/" if place else ""
    below: list[tuple[list[str], Blob | None]] = [
        (path[len(prefix) :].split("/"), blob) for path, blob in entries.items() if path.startswith(prefix)
    ]
    # By name within each directory: by lists of names, not by whole paths, where "/" would sort among other characters.
    visible = sorted(
        ((names, blob) for names, blob in below if len(names) <= 2 and not any(n.startswith(".") for n in names)),
        key=lambda found: found[0],
    )
    lines = [f"{size_of(_DIRECTORY_SIZE)}\t{shown}"]
    for names, blob in visible:
        path = f"{shown}/{'/'.join(names)}"
        lines.append(f"{size_of(_DIRECTORY_SIZE)}\t{path}/" if blob is None else f"{size_of(blob.size)}\t{path}")
    header = f"Here're the files and directories up to 2 levels deep in {shown}, excluding hidden items:"
    return "\n".join([header, *lines])


def numbered(lines: Iterable[str], first: int) -> str:
    """Lines with their numbers, as the model knows them."""
    return "\n".join(f"{number:>{_NUMBER_WIDTH}}\t{line}" for number, line in enumerate(lines, first))
