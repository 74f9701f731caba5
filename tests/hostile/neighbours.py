"""The test's handle on the crowd's process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from typing import Any

from tests.hostile.crowd import Report
from tests.support.environment import ROOT, clean_environment
from tests.support.waiting import PATIENCE_S


class Neighbours:
    """Healthy clients of one replica, in a process of their own so that the attack does not hold them up."""

    def __init__(self, url: str, redis_url: str, *, websockets: int = 5, pollers: int = 1) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.crowd", url, redis_url, str(websockets), str(pollers)],
            env=clean_environment(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        facts = self._read()
        self.tenant: str = facts["tenant"]
        self.conversation: str = facts["conversation"]
        self.user: str = facts["user"]

    @property
    def are_gone(self) -> bool:
        """Whether the process has ended by itself."""
        return self._process.poll() is not None

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the neighbours' process has ended; its stderr says why"
        return json.loads(line)

    async def report(self) -> Report:
        """Return what they saw since the last report."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        return Report(**await asyncio.to_thread(self._read))

    def close(self) -> None:
        """End the process."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        stdout.close()
