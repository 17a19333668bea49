"""Makes the small files of `crates/mnemic-cli/tests/fixtures/importers` with the real systems, in an environment with
`requirements.txt`: `python make_fixtures.py MODULES`, where MODULES has the MCP memory server in its `node_modules`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import systems

FIXTURES = Path(__file__).resolve().parents[4] / "crates" / "mnemic-cli" / "tests" / "fixtures" / "importers"


def main() -> None:
    """Makes all of them."""
    FIXTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        export, history = systems.mem0(directory)
        files = [
            systems.mcp_memory(directory, Path(sys.argv[1])),
            export,
            history,
            systems.langgraph_sqlite(directory),
            systems.csv_file(directory),
            systems.parquet_file(directory),
        ]
        for file in files:
            shutil.copyfile(file, FIXTURES / file.name)
        shutil.rmtree(FIXTURES / "chroma", ignore_errors=True)
        shutil.copytree(systems.chroma(directory, many=100), FIXTURES / "chroma")


if __name__ == "__main__":
    main()
