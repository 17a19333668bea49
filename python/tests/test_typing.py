"""What type checkers say: of the package, of its extension's stub, and of programs that use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from test_readme import BLOCKS

import mnemic

PACKAGE = Path(mnemic.__file__).parent
ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "python" / "mnemic"


def run(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", *arguments]
    # Beside the package's own directory nothing may decide what `mnemic` is. mypy knows the packages of its own environment itself.
    installed = PACKAGE.parent.name == "site-packages"
    env = {name: value for name, value in os.environ.items() if name != "MYPYPATH"}
    env |= {} if installed else {"MYPYPATH": str(PACKAGE.parent)}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def mypy(*paths: Path) -> tuple[int, str]:
    return run("mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), *map(str, paths))


def test_the_package_is_typed() -> None:
    # Integrations are checked beside their frameworks. What lies among other packages is no source to mypy; the sources are.
    sources = [path for path in SOURCES.rglob("*.py") if "integrations" not in path.parts]
    assert len(sources) > 10
    code, said = mypy(*sources)
    assert code == 0, said
    assert (PACKAGE / "py.typed").exists()


def test_the_extension_is_what_its_stub_says() -> None:
    code, said = run("mypy.stubtest", "mnemic._mnemic")
    assert code == 0, said
    assert "Success" in said


def test_programs_that_use_the_package_are_checked() -> None:
    """The sample also marks what must not pass, and an unused mark is an error."""
    code, said = mypy(Path(__file__).parent / "typed" / "usage.py")
    assert code == 0, said


def mypy_alone(place: Path, program: str) -> tuple[int, str]:
    """As somebody has it who installs mypy and knows of no plugin."""
    (place / "mypy.ini").write_text("[mypy]\nstrict = true\n", encoding="utf-8")
    (place / "program.py").write_text(program, encoding="utf-8")
    # The blocks are lines for `python -m asyncio`.
    loose = ["--disable-error-code", "top-level-await"]
    return run("mypy", "--config-file", str(place / "mypy.ini"), *loose, str(place / "program.py"))


def test_the_readme_is_typed_without_a_plugin(tmp_path: Path) -> None:
    # The block on the replaced memory manager imports by names that exist when the program runs.
    blocks = [block for block in BLOCKS if "compat.install" not in block]
    assert len(blocks) == len(BLOCKS) - 1
    code, said = mypy_alone(tmp_path, "\n".join(blocks))
    assert code == 0, said


MADE = """
from datetime import UTC, datetime
from typing import assert_type

from mnemic import AuditEvent, MemoryRecord, Provenance, RetrievalQuery

now = datetime.now(UTC)
MemoryRecord(text="x")
MemoryRecord(user_id="anna", text="x", type="persona", expires_at=now, version=1, embedding=[1.0], expect_version=0)
MemoryRecord(text="x", provenance=Provenance(events=["e"]))
AuditEvent(thread_id="t", source="s", action="a")
RetrievalQuery(query="x")
assert_type(RetrievalQuery(query="x", topk=3, as_of=now).topk, int)
MemoryRecord(user_id="anna")  # type: ignore[call-arg]
MemoryRecord(text=5)  # type: ignore[arg-type]
RetrievalQuery(topk=3)  # type: ignore[call-arg]
"""


def test_models_are_made_without_a_plugin(tmp_path: Path) -> None:
    code, said = mypy_alone(tmp_path, MADE)
    assert code == 0, said


def test_the_package_is_in_the_form_of_the_repository() -> None:
    for task in (["check"], ["format", "--check"]):
        code, said = run(
            "ruff", *task, "--config", str(ROOT / "pyproject.toml"), str(PACKAGE), "--exclude", "integrations"
        )
        assert code == 0, said
