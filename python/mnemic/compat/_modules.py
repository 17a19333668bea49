"""The modules of the replaced system, and the import hook that serves them. Not here: running a script with them (`__main__`)."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

import mnemic
from mnemic.exceptions import InvalidInputError

_FACTORIES = (
    "create_dev_memory_manager",
    "create_embedded_memory_manager",
    "create_memory_manager",
    "create_production_memory_manager",
)

MODULES: dict[str, tuple[str, ...]] = {
    "memory_manager": ("MemoryManager",),
    "memory_manager_v2": ("MemoryManager", *_FACTORIES),
    "models": ("AuditEvent", "ConsolidateStats", "MemoryRecord", "RetrievalQuery"),
}
"""The modules of the package, and the names that each has."""

_ABSENT = object()
_LOCK = threading.RLock()
_INSTALLED: dict[str, _Tree] = {}


class _Tree(MetaPathFinder, Loader):
    """One installed package: finds and loads its modules, and parents of it that exist nowhere else."""

    def __init__(self, package: str) -> None:
        self.package = package
        self._exports = {f"{package}.{name}": exports for name, exports in MODULES.items()}
        self._exports[package] = tuple(dict.fromkeys(name for names in MODULES.values() for name in names))
        parts = package.split(".")
        self.parents = [".".join(parts[:length]) for length in range(1, len(parts))]
        # Those of the parents that had to be made up, until a real one turns up.
        self._made_up: set[str] = set()
        self._shadowed: Any = _ABSENT

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self._exports:
            return ModuleSpec(fullname, self, origin=mnemic.__file__, is_package=fullname == self.package)
        above = fullname.rpartition(".")[0]
        # The program's own package may have become importable since, by a change of `sys.path`.
        return self._below(fullname) if above in self._made_up and self._adopt(above) else None

    def exec_module(self, module: ModuleType) -> None:
        names = self._exports.get(module.__name__, ())
        module.__doc__ = f"Provided by ``mnemic.compat`` in place of ``{module.__name__}``."
        vars(module).update({name: getattr(mnemic, name) for name in names}, __all__=list(names))

    def owns(self, module: ModuleType) -> bool:
        return getattr(module.__spec__, "loader", None) is self

    def enter(self) -> None:
        """Imports the parents and then every module, in the import system's own way."""
        sys.meta_path.insert(0, self)
        for parent in self.parents:
            self._enter_parent(parent)
        above = sys.modules.get(self.package.rpartition(".")[0])
        if above is not None:
            found = vars(above).get(self.package.rpartition(".")[2], _ABSENT)
            # The parent may have imported ours already.
            self._shadowed = _ABSENT if isinstance(found, ModuleType) and self.owns(found) else found
        for name in sorted(self._exports):
            importlib.import_module(name)

    def leave(self) -> None:
        """Takes everything back that is not in the program's own modules."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        above, _, last = self.package.rpartition(".")
        parent = sys.modules.get(above)
        if parent is not None:
            if self._shadowed is not _ABSENT:
                setattr(parent, last, self._shadowed)
            elif isinstance(found := vars(parent).get(last), ModuleType) and self.owns(found):
                delattr(parent, last)
        for name in [*self._exports, *reversed(self.parents)]:
            module = sys.modules.get(name)
            if module is None or not self.owns(module):
                continue
            below = any(other.startswith(f"{name}.") for other in sys.modules)
            if name in self._exports or not below:
                del sys.modules[name]

    def _enter_parent(self, parent: str) -> None:
        try:
            found = importlib.import_module(parent)
        except ModuleNotFoundError as error:
            if error.name != parent:
                raise
            found = module_from_spec(ModuleSpec(parent, self, is_package=True))
            self._made_up.add(parent)
            sys.modules[parent] = found
            above, _, last = parent.rpartition(".")
            if above:
                setattr(sys.modules[above], last, found)
        if not hasattr(found, "__path__"):
            raise ImportError(
                f"{parent} is a module and not a package, so it cannot have {self.package}",
                name=parent,
                path=getattr(found, "__file__", None),
            )

    def _adopt(self, parent: str) -> bool:
        """Makes a made-up parent the real package, if there is one by now."""
        above = sys.modules.get(parent.rpartition(".")[0])
        spec = PathFinder.find_spec(parent, None if above is None else above.__path__)
        module = sys.modules[parent]
        if spec is None or spec.submodule_search_locations is None:
            return False
        self._made_up.discard(parent)
        module.__spec__, module.__loader__, module.__file__ = spec, spec.loader, spec.origin
        module.__path__ = spec.submodule_search_locations
        if spec.loader is not None:
            spec.loader.exec_module(module)
        return True

    def _below(self, fullname: str) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, sys.modules[fullname.rpartition(".")[0]].__path__)


def _check(package: str) -> None:
    if not isinstance(package, str) or not all(part.isidentifier() for part in package.split(".")):
        raise InvalidInputError(f"package: expected a name such as 'core.memory', found {package!r}", field="package")
    for name in (package, *(f"{package}.{module}" for module in MODULES)):
        if name in sys.modules:
            where = getattr(sys.modules[name], "__file__", None)
            place = "" if where is None else f" from {where}"
            raise ImportError(
                f"{name} was imported already{place}: call mnemic.compat.install({package!r}) before anything imports it",
                name=name,
                path=where,
            )


def install(package: str = "core.memory") -> None:
    """Makes ``package`` and its modules (:data:`MODULES`) importable, with the classes and functions of this package.

    Parents of it are imported, so ``sys.path`` should be complete; those that are not there are made up. Once more changes nothing.
    Modules of the program that have these names are not replaced: if one was imported already, that is an ``ImportError``.
    """
    with _LOCK:
        if package in _INSTALLED:
            return
        _check(package)
        tree = _Tree(package)
        try:
            tree.enter()
        except BaseException:
            tree.leave()
            raise
        _INSTALLED[package] = tree


def uninstall(package: str = "core.memory") -> None:
    """Takes an installation back. What was imported from it before keeps working; without one nothing happens."""
    with _LOCK:
        tree = _INSTALLED.pop(package, None)
        if tree is not None:
            tree.leave()


def installed() -> list[str]:
    """The packages that are installed."""
    with _LOCK:
        return sorted(_INSTALLED)
