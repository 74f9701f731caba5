"""The test's handle on the crowd's process."""

from __future__ import annotations

import asyncio
import sys
from queue import SimpleQueue
from typing import Any

from tests.hostile.crowd import Report
from tests.support.child import Child
from tests.support.environment import ROOT, clean_environment


class Neighbours(Child):
    """Healthy clients of one replica, in a process of their own so that the attack does not hold them up."""

    def __init__(self, url: str, redis_url: str, *, websockets: int = 5, pollers: int = 1) -> None:
        self._said: SimpleQueue[Any] = SimpleQueue()
        command = [sys.executable, "-m", "tests.hostile.crowd", url, redis_url, str(websockets), str(pollers)]
        super().__init__(command, ROOT, clean_environment())
        facts = self._next()
        self.tenant: str = facts["tenant"]
        self.conversation: str = facts["conversation"]
        self.user: str = facts["user"]

    def _hear(self, line: Any) -> None:
        self._said.put(line)

    def _hear_the_end(self) -> None:
        self._said.put(None)

    def _next(self) -> Any:
        line = self._said.get()
        if line is None:
            self._hear_the_end()  # for who asks next
            raise AssertionError("the neighbours' process has ended; its stderr says why")
        return line

    async def report(self) -> Report:
        """Return what they saw since the last report."""
        self.tell("report")
        return Report(**await asyncio.to_thread(self._next))
