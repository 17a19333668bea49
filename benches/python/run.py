"""The measured claims of the Python package: what Python adds to the engine, and the package beside what people would use instead.

``python benches/python/run.py --wheel dist/mnemic-….whl`` measures everything that can be measured here and prints a table. Figures
are comparable within one run only; verdicts are on ratios. The Rust half of the overhead comes from
``cargo build --release --package mnemic-bench --example python_floor``. Not here: the measuring (the sibling modules).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import environments
import footprint
import peers
import report
from timing import load

ROOT = Path(__file__).parents[2]
FLOOR = ROOT / "target" / "release" / "examples" / "python_floor"
PARTS = ("overhead", "peers", "footprint")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the Python package. Figures compare within one run only.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"some of {', '.join(PARTS)} (all of them)")
    parser.add_argument("--wheel", type=Path, required=True, help="the package, built with --release")
    parser.add_argument("--floor", type=Path, default=FLOOR, help="the program of benches/examples/python_floor.rs")
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter; SqliteStore needs one that loads extensions"
    )
    parser.add_argument(
        "--environments", type=Path, default=ROOT / "target" / "python-benches", help="where they are kept"
    )
    parser.add_argument("--peer", action="append", help="only this one (may be repeated)")
    parser.add_argument("--size", type=int, default=1_000, help="records that the peers search in")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--queries", type=int, default=50, help="questions in each round of the overhead")
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"part: expected some of {', '.join(PARTS)}, found {', '.join(sorted(unknown))}")
    given.parts = given.parts or list(PARTS)
    return given


def _overhead(given: argparse.Namespace, python: Path) -> dict[str, Any]:
    script = Path(__file__).with_name("overhead.py")
    with tempfile.TemporaryDirectory(prefix="bench-overhead-") as directory:
        command = [python, script, given.floor, directory, "1000,10000", str(given.rounds), str(given.queries)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _footprint(given: argparse.Namespace, chosen: list[peers.Peer]) -> dict[str, Any]:
    pythons = {peer.environment: environments.prepare(*_environment(given, peer)) for peer in chosen}
    own = pythons["mnemic"]
    statements = {
        "bare interpreter": "pass",
        "pydantic alone": "from pydantic import BaseModel",
        "mnemic": "import mnemic",
    }
    imports = footprint.import_times(own, statements, given.rounds * 2)
    others = {}
    for peer in chosen:
        python = pythons[peer.environment]
        [wall] = footprint.import_times(python, {peer.name: peer.statement}, max(3, given.rounds)).values()
        folder = python.parents[1]
        size, packages = footprint.installed_bytes(folder), footprint.installed_packages(folder)
        others[peer.title] = {"import_ms": wall, "megabytes": size / 1e6, "packages": packages}
    return {
        "imports": imports,
        "wheel_megabytes": given.wheel.stat().st_size / 1e6,
        "installed_megabytes": footprint.installed_bytes(own.parents[1], "mnemic") / 1e6,
        "peers": others,
        "load": load(),
    }


def _environment(given: argparse.Namespace, peer: peers.Peer) -> tuple[str, Path, str, Path | None]:
    wheel = given.wheel if peer.environment == "mnemic" else None
    return peer.environment, given.environments.resolve(), given.python, wheel


def main() -> int:
    """Measures what was asked for and prints it."""
    given = _arguments()
    chosen, notes = peers.chosen(given.peer)
    own = next(peer for peer in peers.PEERS if peer.environment == "mnemic")
    python = environments.prepare(*_environment(given, own))
    measured: dict[str, Any] = {"processors": os.cpu_count(), "notes": notes}
    if "overhead" in given.parts:
        measured["overhead"] = _overhead(given, python)
    if "footprint" in given.parts:
        measured["footprint"] = _footprint(given, [own, *(peer for peer in chosen if peer != own)])
    if "peers" in given.parts:
        pythons = {peer.environment: environments.prepare(*_environment(given, peer)) for peer in chosen}
        directory = Path(tempfile.mkdtemp(prefix="bench-peers-"))
        measured["peers"] = peers.measure(chosen, pythons, directory, size=given.size, rounds=given.rounds, queries=20)
    print(json.dumps(measured, indent=1) if given.json else report.table(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
