"""``python -m mnemic.compat core.memory script.py …`` and ``… -m module …``: runs a program of the replaced system as it stands.

Not here: the modules that it then finds (`_modules`).
"""

from __future__ import annotations

import os
import runpy
import sys

from mnemic.compat import install
from mnemic.exceptions import InvalidInputError

_USAGE = "usage: python -m mnemic.compat PACKAGE (SCRIPT | -m MODULE) [ARGUMENT ...]"


def main(arguments: list[str]) -> int:
    """Installs the package and runs the program, which sees its own name and arguments and ends with its own exit code."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(f"{_USAGE}\n\nPACKAGE is what the program imports the memory from, such as core.memory.")
        return 0
    package, *program = arguments or [""]
    as_module = program[:1] == ["-m"]
    named = program[1:] if as_module else program
    if not named or named[0].startswith("-"):
        print(_USAGE, file=sys.stderr)
        return 2
    if not as_module and not os.path.exists(named[0]):
        print(f"mnemic.compat: script: expected a file, found nothing at {named[0]}", file=sys.stderr)
        return 2
    # `python -m` has put the working directory first; a script finds what lies beside it.
    if not as_module and not sys.flags.safe_path and os.path.isfile(named[0]):
        sys.path[0] = os.path.dirname(os.path.abspath(named[0]))
    try:
        install(package)
    except (ImportError, InvalidInputError) as error:
        print(f"mnemic.compat: {error}", file=sys.stderr)
        return 2
    sys.argv = named
    if as_module:
        runpy.run_module(named[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(named[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
