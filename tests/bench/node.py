"""Node's packages for the rivals, installed as `rivals/package-lock.json` pins them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from tests.support import node

FOLDER = Path(__file__).parent / "rivals"
# One of them, uWebSockets.js, carries binaries for every platform: a quarter of a gigabyte.
INSTALL_S = 600.0


def installed() -> Path:
    """Install the packages unless they are there, and give `node`'s path; raises `RuntimeError`."""
    tools = node.find()
    stamp = FOLDER / "node_modules" / ".installed"
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        # The whole environment: proxies and registries are the machine's business.
        environment = os.environ | {"PATH": f"{tools.node.parent}{os.pathsep}{os.environ['PATH']}"}
        command = [*tools.npm, "ci", "--ignore-scripts"]
        try:
            done = subprocess.run(
                command,
                cwd=FOLDER,
                env=environment,
                capture_output=True,
                text=True,
                timeout=INSTALL_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"npm ci took more than {INSTALL_S:.0f} s") from None
        if done.returncode:
            raise RuntimeError(f"npm ci failed:\n{done.stderr.strip()[-2000:]}")
        stamp.write_text(wanted)
    return tools.node


def loads(binary: Path, package: str) -> bool:
    """Return whether a package is there and has something for this platform."""
    done = subprocess.run(
        [str(binary), "-e", f"require({package!r})"], cwd=FOLDER, capture_output=True, timeout=30.0, check=False
    )
    return done.returncode == 0
