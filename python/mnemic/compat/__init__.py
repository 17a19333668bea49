"""Lets code of the replaced ``MemoryManager`` run as it stands: its module names, with this package behind them.

``mnemic.compat.install("core.memory")`` before anything imports ``core.memory`` is enough, or ``python -m mnemic.compat core.memory
script.py``. A real package ``core`` stays what it is; only ``core.memory`` and its modules are ours. Not here: what the names do
(`mnemic`).
"""

from __future__ import annotations

from mnemic.compat._modules import MODULES, install, installed, uninstall

__all__ = ["MODULES", "install", "installed", "uninstall"]
