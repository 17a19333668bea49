"""A virtual environment for each memory, from exact pins. Not here: what is run in them.

They have no pip of their own, so that what is in them is the package and what it needs, and nothing else.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

_REQUIREMENTS = Path(__file__).parent / "requirements"


def prepare(name: str, directory: Path, interpreter: str, wheel: Path | None = None) -> Path:
    """The environment of ``requirements/NAME.txt``, made if it is not there, with a wheel beside; answers its interpreter."""
    environment = directory / name
    python = environment / "bin" / "python"
    requirements = _REQUIREMENTS / f"{name}.txt"
    state = hashlib.sha256(requirements.read_bytes())
    state.update(wheel.read_bytes() if wheel else b"")
    mark = environment / "installed"
    if mark.is_file() and mark.read_text() == state.hexdigest():
        return python
    subprocess.run([interpreter, "-m", "venv", "--clear", "--without-pip", environment], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", str(requirements), *([str(wheel)] if wheel else [])], check=True)
    mark.write_text(state.hexdigest())
    return python
