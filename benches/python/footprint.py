"""How long importing takes and how much a package puts on the disk. Not here: virtual environments (`environments`)."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from timing import median


def import_times(interpreter: Path, statements: dict[str, str], rounds: int) -> dict[str, float]:
    """Milliseconds that a new interpreter takes from its start to its end with each of the statements, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in statements}
    for number in range(rounds + 1):
        for name, statement in statements.items():
            begun = time.perf_counter()
            subprocess.run([interpreter, "-c", statement], check=True, stdout=subprocess.DEVNULL)
            # The first round fills the page cache and writes the compiled files.
            if number > 0:
                taken[name].append((time.perf_counter() - begun) * 1e3)
    return {name: median(times) for name, times in taken.items()}


def installed_bytes(environment: Path, only: str | None = None) -> int:
    """Bytes of what is installed in an environment without pip, or of the folders there whose name begins with ``only``."""
    packages = next((environment / "lib").glob("python*/site-packages"))
    files = (path for path in packages.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(
        path.stat().st_size for path in files if only is None or path.relative_to(packages).parts[0].startswith(only)
    )


def installed_packages(environment: Path) -> int:
    """How many distributions are installed there."""
    packages = next((environment / "lib").glob("python*/site-packages"))
    return len(list(packages.glob("*.dist-info")))
