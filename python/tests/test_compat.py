"""The module names of the replaced system: installing them beside what a program has, and taking them back."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import worlds

import mnemic
from mnemic import compat

CODE = "from ..memory.memory_manager_v2 import MemoryManager, create_dev_memory_manager\nMADE = create_dev_memory_manager()\n"


@pytest.fixture(autouse=True)
def _afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = list(sys.meta_path)
    yield
    for package in compat.installed():
        compat.uninstall(package)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("core", "old")]:
        del sys.modules[name]
    assert sys.meta_path == before


def real_core(folder: Path, init: str = "OWN = 'the real one'\n") -> None:
    """A package of the user's with an agent, and with a memory that is to be replaced."""
    for path, code in {
        "core/__init__.py": init,
        "core/groupagents/__init__.py": "",
        "core/groupagents/mega_agent.py": CODE,
        "core/memory/__init__.py": "raise RuntimeError('the replaced memory was imported')\n",
        "core/memory/models.py": "",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(code)


def test_every_name_of_the_replaced_system_is_there() -> None:
    compat.install("core.memory")
    for module, names in compat.MODULES.items():
        found = sys.modules[f"core.memory.{module}"]
        assert {name: getattr(found, name) for name in names} == {name: getattr(mnemic, name) for name in names}
        assert importlib.import_module(f"core.memory.{module}") is found
    assert {"core", "core.memory"} <= set(sys.modules)
    import core.memory.models  # type: ignore[import-not-found]

    assert core.memory.models.MemoryRecord is mnemic.MemoryRecord
    scope: dict[str, object] = {}
    exec("from core import memory\nfrom core.memory import MemoryManager\nfrom core.memory.models import *", scope)
    assert scope["MemoryManager"] is mnemic.MemoryManager
    assert scope["AuditEvent"] is mnemic.AuditEvent
    # What the replaced system pickled names its own modules; ours answer to that.
    record = mnemic.MemoryRecord(text="pickled by the old name")
    pickled = pickle.dumps(record, 0).replace(b"mnemic.models", b"core.memory.models")
    assert pickle.loads(pickled) == record


def test_installing_twice_changes_nothing_and_uninstalling_takes_all_back() -> None:
    before = set(sys.modules)
    compat.install("core.memory")
    module = sys.modules["core.memory.models"]
    compat.install("core.memory")
    assert (sys.modules["core.memory.models"], compat.installed()) == (module, ["core.memory"])
    compat.uninstall("core.memory")
    compat.uninstall("core.memory")
    assert (set(sys.modules) - before, compat.installed()) == (set(), [])
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("core.memory.models")
    compat.install("core.memory")
    assert importlib.import_module("core.memory.models").MemoryRecord is mnemic.MemoryRecord


def test_other_names_and_several_at_once() -> None:
    compat.install("old.app.memory")
    compat.install("core.memory")
    assert importlib.import_module("old.app.memory.models") is not importlib.import_module("core.memory.models")
    compat.uninstall("old.app.memory")
    assert importlib.import_module("core.memory.models").MemoryRecord is mnemic.MemoryRecord
    assert not [name for name in sys.modules if name.startswith("old")]


def test_a_real_parent_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_core(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    compat.install("core.memory")
    agent = importlib.import_module("core.groupagents.mega_agent")
    core = sys.modules["core"]
    assert (core.OWN, core.__file__) == ("the real one", str(tmp_path / "core/__init__.py"))
    assert agent.MemoryManager is mnemic.MemoryManager
    assert core.memory is sys.modules["core.memory"]
    compat.uninstall("core.memory")
    assert sys.modules["core"] is core
    assert not hasattr(core, "memory")
    with pytest.raises(RuntimeError, match="the replaced memory"):
        importlib.import_module("core.memory")


def test_a_real_parent_that_imports_its_memory_itself_gets_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_core(tmp_path, "from .groupagents.mega_agent import MADE\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    compat.install("core.memory")
    assert isinstance(sys.modules["core"].MADE, mnemic.MemoryManager)
    compat.uninstall("core.memory")
    assert not hasattr(sys.modules["core"], "memory")


def test_a_real_parent_may_turn_up_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compat.install("core.memory")
    real_core(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    agent = importlib.import_module("core.groupagents.mega_agent")
    assert agent.MemoryManager is mnemic.MemoryManager
    assert sys.modules["core"].OWN == "the real one"
    with pytest.raises(ModuleNotFoundError, match=r"core\.nothing"):
        importlib.import_module("core.nothing")


def test_a_name_of_the_parent_that_is_no_module_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_core(tmp_path, "memory = 'a setting'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    compat.install("core.memory")
    assert importlib.import_module("core.memory.models").MemoryRecord is mnemic.MemoryRecord
    compat.uninstall("core.memory")
    assert sys.modules["core"].memory == "a setting"


def test_modules_that_were_imported_already_are_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_core(tmp_path)
    (tmp_path / "core/memory/__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    theirs = importlib.import_module("core.memory.models")
    with pytest.raises(
        ImportError, match=r"core\.memory was imported already from .*: call mnemic\.compat\.install"
    ) as told:
        compat.install("core.memory")
    assert told.value.name == "core.memory"
    assert sys.modules["core.memory.models"] is theirs
    assert compat.installed() == []


def test_a_parent_that_is_no_package_or_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "core.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match="core is a module and not a package"):
        compat.install("core.memory")
    (tmp_path / "old").mkdir()
    (tmp_path / "old/__init__.py").write_text("import no_such_package_of_theirs\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package_of_theirs"):
        compat.install("old.memory")
    assert not [name for name in sys.modules if name in ("old", "old.memory", "core.memory")]
    assert compat.installed() == []


@pytest.mark.parametrize("name", ["", "core..memory", "core/memory", "1.memory", None])
def test_a_name_that_is_none_is_refused(name: str | None) -> None:
    with pytest.raises(mnemic.InvalidInputError, match="package: expected a name such as") as told:
        compat.install(name)  # type: ignore[arg-type]
    assert told.value.field == "package"


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Ends a program that was started through ``python -m mnemic.compat``."""
    ended = worlds.run_python("-m", "mnemic.compat", *arguments, env=worlds.clean(), cwd=folder)
    return ended.returncode, ended.stdout, ended.stderr


def test_a_script_runs_as_it_stands(tmp_path: Path) -> None:
    real_core(tmp_path / "project")
    script = tmp_path / "project/run.py"
    script.write_text(
        "import sys\nfrom core.groupagents.mega_agent import MADE\nimport core\n"
        "print(__name__, core.OWN, type(MADE).__name__, sys.argv[1:], __file__ == sys.argv[0])\n"
    )
    expected = "__main__ the real one MemoryManager ['a', '-m', 'b'] True\n"
    assert run(tmp_path, "core.memory", str(script), "a", "-m", "b") == (0, expected, "")


def test_a_script_that_extends_the_path_itself_finds_its_package(tmp_path: Path) -> None:
    real_core(tmp_path / "project")
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\nsys.path.insert(0, 'project')\nfrom core.groupagents.mega_agent import MADE\nprint(MADE)\n"
    )
    assert run(tmp_path, "core.memory", str(script)) == (0, "MemoryManager(namespace='default')\n", "")


def test_a_module_runs_as_it_stands(tmp_path: Path) -> None:
    real_core(tmp_path)
    (tmp_path / "core/groupagents/__main__.py").write_text(
        "import sys\nfrom .mega_agent import MADE\nprint(MADE, sys.argv[1:])\n"
    )
    expected = "MemoryManager(namespace='default') ['x']\n"
    assert run(tmp_path, "core.memory", "-m", "core.groupagents", "x") == (0, expected, "")


def test_wrong_usage_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "script.py").touch()
    for arguments in ([], ["core.memory"], ["core.memory", "-m"], ["core.memory", "--flag"]):
        code, _, said = run(tmp_path, *arguments)
        assert (code, said.startswith("usage: "), said.count("\n")) == (2, True, 1)
    assert run(tmp_path, "core.memory", "none.py")[::2] == (
        2,
        "mnemic.compat: script: expected a file, found nothing at none.py\n",
    )
    code, _, said = run(tmp_path, "json..x", "script.py")
    assert (code, said.startswith("mnemic.compat: package: expected")) == (2, True)
    assert run(tmp_path, "--help")[0] == 0
