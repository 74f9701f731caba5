"""A process that a test talks to in lines of JSON: told on its stdin, heard on its stdout."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support import fork_server
from tests.support.waiting import PATIENCE_S


class Child(ABC):
    """One process; `env` None is all of the environment."""

    def __init__(self, command: Sequence[str], cwd: Path, env: dict[str, str] | None = None) -> None:
        self._process = _begun(command, cwd, env)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def tell(self, what: object, default: Callable[[Any], Any] | None = None) -> None:
        """Send a line; `default` is `json.dumps`'."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what, default=default) + "\n")

    @abstractmethod
    def _hear(self, line: Any) -> None:
        """Take a line that it said, in a thread of its own."""

    def _hear_the_end(self) -> None:  # noqa: B027  # most need not know
        """Take note that it will say no more, in the same thread."""

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._hear(json.loads(line))
        self._hear_the_end()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self.close()

    def close(self) -> int:
        """Close its stdin, at which it ends; return its exit status."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.close()
        try:
            status = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._reader.join(PATIENCE_S)
        stdout.close()
        return status


def _begun(
    command: Sequence[str], cwd: Path, env: dict[str, str] | None
) -> fork_server.Forked | subprocess.Popen[str]:
    program, option, *module = command
    if env is not None and (program, option) == (sys.executable, "-m"):
        return fork_server.start(module[0], module[1:], env=env, cwd=cwd)
    return subprocess.Popen(
        command, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
