"""``python -m mnemic`` and the ``mnemic`` script: the command line of the Rust binary."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Runs the command line on the arguments of this process."""
    from mnemic._mnemic import command_line

    # The command line hears Ctrl-C itself; Python would only note it and wait.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # A reader that went away is told by an error, as the Rust binary is.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return command_line(["mnemic", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
