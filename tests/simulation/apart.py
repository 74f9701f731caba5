"""Runs tests that simulate in a process of their own, whose clocks are the simulation's: see `system`.

A test module with `pytestmark = pytest.mark.simulated` has tests without fixtures and parameters. `conftest.py`
sends their names here. `python -m tests.simulation.apart MODULE [NAME ...]` runs them without pytest.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import traceback
import warnings
from importlib import import_module
from typing import IO, Any

from tests.support.environment import ROOT, clean_environment


class Apart:
    """The process of one test module."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.apart", module, "-"],
            cwd=ROOT,
            env=clean_environment() | {"PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, name: str) -> str:
        """Run one test; return its traceback, empty if it passes."""
        asking, answering = self._process.stdin, self._process.stdout
        assert asking is not None
        assert answering is not None
        print(name, file=asking, flush=True)
        answer = answering.readline()
        return str(json.loads(answer)) if answer else f"the process ended: {self._process.wait()}"

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _failure(module: Any, name: str) -> str:
    try:
        getattr(module, name)()
    except Exception:  # noqa: BLE001  # it is the answer
        return traceback.format_exc()
    return ""


def _serve(module: Any, answers: IO[str]) -> None:
    for line in sys.stdin:
        print(json.dumps(_failure(module, line.strip())), file=answers, flush=True)


def _run(module: Any, names: list[str]) -> int:
    failed = 0
    for name in names or [name for name in vars(module) if name.startswith("test_")]:
        failure = _failure(module, name)
        failed += bool(failure)
        print(f"{'fails' if failure else 'holds'} {name}", failure, flush=True)
    return 1 if failed else 0


def main() -> None:
    """Serve the test process, or run tests."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable,
            [sys.executable, "-m", __spec__.name, *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    from tests.simulation import system

    system.install()
    # Where a scene ends, its processes are gone: what they had under way goes on nowhere.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited")
    name, *names = sys.argv[1:]
    module = import_module(name)
    gc.freeze()  # each simulation collects what the one before has left
    if names == ["-"]:
        answers, sys.stdout = sys.stdout, sys.stderr
        _serve(module, answers)
    else:
        sys.exit(_run(module, names))


if __name__ == "__main__":
    main()
