"""What type checkers say: of the package, of its extension's stub, and of programs that use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def test_the_package_is_in_the_form_of_the_repository() -> None:
    for task in (["check"], ["format", "--check"]):
        code, said = run(
            "ruff", *task, "--config", str(ROOT / "pyproject.toml"), str(PACKAGE), "--exclude", "integrations"
        )
        assert code == 0, said
