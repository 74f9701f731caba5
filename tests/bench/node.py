"""Node's packages for the rivals, installed as `rivals/package-lock.json` pins them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support import node

FOLDER = Path(__file__).parent / "rivals"
# One of them, uWebSockets.js, carries binaries for every platform: a quarter of a gigabyte.
INSTALL_S = 600.0


def installed() -> Path:
    """Install the packages unless they are there, and give `node`'s path; raises `RuntimeError`."""
    return node.installed(FOLDER, within_s=INSTALL_S)


def loads(binary: Path, package: str) -> bool:
    """Return whether a package is there and has something for this platform."""
    done = subprocess.run(
        [str(binary), "-e", f"require({package!r})"], cwd=FOLDER, capture_output=True, timeout=30.0, check=False
    )
    return done.returncode == 0
