"""A stranger who announces bodies that never come, so that the next request on a kept connection is taken for one.

Each attack is an upgrade of a session that the stranger opened itself: where the balancer brings it to another
process than the one that holds the session, the two have to agree on where the request ends. What follows the
attack is a request whose body is a request of its own: it is answered only by a process that took the beginning
for a body.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from itertools import count

from tests.support.raw_http import connection, head, status, upgrade
from tests.support.waiting import PATIENCE_S
from tests.support.websocket import websocket

WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"
POLLING = "/socket.io/?EIO=4&transport=polling"
# What the attacks announce: heads of polls have some hundred bytes, and one that is eaten partly is another
# request.
SIZES = (1, 40, 150, 300, 1000)
HIDDEN = b"GET /metrics HTTP/1.1\r\nHost: inside\r\n\r\n"
REFUSED = b"A body is not allowed here"
# Session ids, names of events, and what the inside alone may read.
FOREIGN = (b"gateway_sockets", b'"tick"', b'"sid"', b'"connected"', b'"joined_')


@dataclass
class Loot:
    """What came of the attacks: answers by status (0: closed without one), and answers with something foreign.

    `refused` are those that the gateway refused for what they are.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    foreign: list[bytes] = field(default_factory=list)

    def take(self, answer: bytes) -> None:
        """Count an answer."""
        self.statuses[status(answer)] += 1
        self.refused += REFUSED in answer
        if any(mark in answer for mark in FOREIGN):
            self.foreign.append(answer)

    @property
    def attacks(self) -> int:
        """How many were answered."""
        return self.statuses.total()


class Smuggler:
    """Attacks through the proxy, or the shared port, at 127.0.0.1:`port`; `loot` says what came of it."""

    def __init__(self, port: int) -> None:
        self.loot = Loot()
        self._port = port
        self._stamps = count()
        self._sids: list[str] = []
        self._held = AsyncExitStack()

    async def attack(self, times: int, at_once: int = 4) -> Loot:
        """Send so many attacks, `at_once` at a time; sessions are opened anew, as they never authenticate."""
        for number in range(0, times, at_once):
            if number % (at_once * 12) == 0:
                await self._open_sessions()
            few = range(number, min(number + at_once, times))
            await asyncio.gather(*(self._once(i) for i in few))
        await self._held.aclose()
        return self.loot

    async def _open_sessions(self, how_many: int = 8) -> None:
        """Open websockets, which a balancer spreads over the processes."""
        await self._held.aclose()
        self._sids = []
        for _ in range(how_many):
            peer = await self._held.enter_async_context(websocket(self._port, target=WEBSOCKET))
            if peer.status == 101:
                await peer.open()
                self._sids.append(peer.session["sid"])

    async def attack_openly(self) -> Loot:
        """Announce a body, once, and hide nothing."""
        await self._ask(head("GET", WEBSOCKET, upgrade() | {"Content-Length": "1"}) + b"G")
        return self.loot

    async def _once(self, number: int) -> None:
        sid = self._sids[number % len(self._sids)]
        size = SIZES[number % len(SIZES)]
        if number % 4 == 3:
            announced, body = {"Transfer-Encoding": "chunked"}, b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size))
        else:
            announced, body = {"Content-Length": str(size)}, b"G" * size
        kind = number // len(SIZES) % 6
        if kind < 4:
            # Also with what makes the other process answer with something else than a 101.
            begin = head("GET", f"{WEBSOCKET}&sid={sid}", upgrade(12 if kind % 2 else 13) | announced)
        elif kind == 4:
            begin = head("GET", f"{POLLING}&sid={sid}", announced)
        else:
            begin = head("POST", f"{WEBSOCKET}&sid={sid}", upgrade() | announced)
        await self._ask(begin + body)
        # What the announced body would swallow: blank lines, then a request that no proxy lets through.
        hidden = b"\r\n" * 600 + HIDDEN
        target = f"{POLLING}&sid={sid}&t={next(self._stamps)}"
        await self._ask(head("POST", target, {"Content-Length": str(len(hidden))}) + hidden, counted=False)

    async def _ask(self, request: bytes, *, counted: bool = True) -> None:
        got = b""
        async with connection(self._port) as (reader, writer):
            writer.write(request)
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    while not _is_whole(got) and (data := await reader.read(1 << 16)):
                        got += data
        if counted or any(mark in got for mark in FOREIGN):
            self.loot.take(got)


def _is_whole(got: bytes) -> bool:
    begin, found, body = got.partition(b"\r\n\r\n")
    if not found:
        return False
    if status(begin) == 101:
        return True
    for line in begin.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line[15:])
    return body.endswith(b"0\r\n\r\n")
