"""Handing out much at once to a tenant's sockets, in portions, each after the sockets have read the one before.

A socket is cut when its unsent bytes pass a limit, and the missed events of a resync may be more than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gateway.core.model import Member

# Seconds between two checks whether a portion has been read: the engine has no callback for that.
LOOK_S = 0.02
# Seconds for which a resync waits for slow sockets; after that it does not wait for them again.
PATIENCE_S = 0.5


class Portions:
    """Counts what is handed out, and pauses after each `most_bytes` of it."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._size = 0
        self._slow: set[Member] = set()

    async def did(self, size: int, members: Iterable[Member]) -> None:
        """Count bytes handed out to some `members`; after each portion, wait until they have read half of it."""
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
