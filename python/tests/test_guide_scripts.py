"""The guide's three scripts as programs of their own: word for word, and with the import of this package."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import worlds
from guide import SEED, block, covers

SCRIPTS = {
    "connection": ("Тест 1: Проверить подключение", "✅ All backends healthy"),
    "write_retrieve": (
        "Тест 2: Сохранить и извлечь данные",
        "✅ Retrieved 1 records\nTop result: Important legal precedent from Smith v. Jones case",
    ),
    "audit_trail": ("Тест 3: Episodic Memory (Audit Trail)", 'test:test_action {"data":"test"}'),
}
IMPORT = "from core.memory.memory_manager_v2 import create_production_memory_manager"
names = pytest.mark.parametrize("name", SCRIPTS)
ways = pytest.mark.parametrize("way", ["scripts", "imported"])


@covers("Тест 1: Проверить подключение")
@covers("Тест 2: Сохранить и извлечь данные")
@covers("Тест 3: Episodic Memory (Audit Trail)")
@names
def test_the_files_are_the_guides(name: str) -> None:
    said = block(SCRIPTS[name][0])
    assert (SEED / "scripts" / f"{name}.py").read_text() == said
    ours = (SEED / "imported" / f"{name}.py").read_text()
    changed = [(a, b) for a, b in zip(said.splitlines(), ours.splitlines(), strict=True) if a != b]
    assert changed
    assert all(a.startswith("from core.memory.") and b.startswith("from mnemic import") for a, b in changed)


def check(name: str, way: str, script: Path, **environment: str) -> None:
    """Runs a script and reads what it prints."""
    through = ["-m", "mnemic.compat", "core.memory"] if way == "scripts" else []
    env = worlds.clean(PYTHONIOENCODING="utf-8", **environment)
    ended = worlds.run_python(*through, str(script), env=env, cwd=script.parent)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert SCRIPTS[name][1] in ended.stdout


def with_factory(name: str, way: str, factory: str, folder: Path) -> Path:
    """The script with another factory in its import line, and no other change."""
    text = (SEED / way / f"{name}.py").read_text()
    line = IMPORT if way == "scripts" else "from mnemic import create_production_memory_manager"
    assert text.count(line) == 1
    other = line.replace("create_production_memory_manager", f"{factory} as create_production_memory_manager")
    script = folder / f"{name}.py"
    script.write_text(text.replace(line, other))
    return script


@names
@ways
def test_on_a_memory_for_developers(name: str, way: str, tmp_path: Path) -> None:
    check(name, way, with_factory(name, way, "create_dev_memory_manager", tmp_path), HOME=str(tmp_path))


@names
@ways
def test_on_a_directory(name: str, way: str, tmp_path: Path) -> None:
    # The factory that goes by the environment, since the guide's call names no directory.
    script = with_factory(name, way, "create_memory_manager", tmp_path)
    directory = tmp_path / "memory"
    check(name, way, script, HOME=str(tmp_path), MNEMIC_PROFILE="embedded", MNEMIC_DIR=str(directory))
    assert any(directory.iterdir())


@names
@ways
@pytest.mark.parametrize("production", worlds.PRODUCTIONS, indirect=True)
def test_on_servers(name: str, way: str, production: worlds.Database, tmp_path: Path) -> None:
    decided = {key: value for key, value in os.environ.items() if worlds.decides(key)}
    # From a directory without settings, with nothing but the environment.
    script = tmp_path / f"{name}.py"
    script.write_text((SEED / way / f"{name}.py").read_text())
    check(name, way, script, HOME=str(tmp_path), **decided)


def test_scripts_that_fail_end_with_their_own_code(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text(
        "import sys\nfrom core.memory.models import MemoryRecord\nsys.exit(7 if sys.argv[1:] == ['a'] else 1)\n"
    )
    command = ["-m", "mnemic.compat", "core.memory", str(script), "a"]
    assert worlds.run_python(*command, env=worlds.clean(), cwd=tmp_path).returncode == 7
    assert worlds.run_python(str(script), "a", env=worlds.clean(), cwd=tmp_path).returncode == 1
