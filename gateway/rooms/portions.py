"""Handing out a lot at once to a tenant's sockets, in portions that each has taken before the next one comes.

A socket is cut when its unsent bytes pass a limit, and what a resync makes good may be more than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gateway.core.model import Member

# How often to look whether a portion has been taken: the engine keeps nobody waiting, so it calls nobody back.
LOOK_S = 0.02
# How long everybody waits for those who are slow; from then on they are not waited for any more.
PATIENCE_S = 0.5


class Portions:
    """Counts what is handed out, and pauses after each `most_bytes` of it."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._size = 0
        self._slow: set[Member] = set()

    async def did(self, size: int, members: Iterable[Member]) -> None:
        """Note what was handed out to some of `members`, and wait until they have taken most of it."""
        self._size += size
        if self._size < self._most:
            return
        self._size = 0
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        waiting = [member for member in members if member not in self._slow]
        while waiting := [member for member in waiting if member.socket.buffered > self._most // 2]:
            if asyncio.get_running_loop().time() > deadline:
                self._slow.update(waiting)
                return
            await asyncio.sleep(LOOK_S)
