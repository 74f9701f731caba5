"""Who there is: each process says so in Redis, for as long as it lives, and finds the others there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.bus.commands import Commands
from gateway.bus.link import LinkDown, ReplyError

KEY = "rt:node:"
# All names by when they were last said. No process is called so.
INDEX = KEY + "index"
ANNOUNCE_S = 2.0
# A process that was killed is looked for in vain for this long.
LIFE_MS = 15_000
# Names of processes that ended without a word stay in the index for at least so long, by anybody's clock.
FORGOTTEN_S = 3600.0
MOST_SHOWN = 256
# Processes remembered; a made-up id costs a question to Redis, which is asked again after `MEMORY_S`.
MOST_KNOWN = 1024
MEMORY_S = 5.0
MEMORY_OF_NONE_S = 0.5


class Peer(NamedTuple):
    """Where a process takes requests."""

    url: str
    """Of the port that it listens on, which other workers may share."""
    socket: str
    """Its own Unix socket, empty where there is none or it is on another machine."""


class Registry:
    """This process' own entry, and a bounded memory of the others'.

    `about` gives what people are told of it (`gateway top`, the console), a JSON object.
    """

    def __init__(self, commands: Commands, name: str, about: Callable[[], Mapping[str, Any]]) -> None:
        self.name = name
        self._commands = commands
        self._about = about
        self._entry: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._known: dict[str, tuple[float, Peer | None]] = {}

    async def start(self, url: str, unix_socket: str) -> None:
        """Begin to be found."""
        self._entry = {"url": url, "socket": unix_socket, "host": socket.gethostname(), "pid": os.getpid()}
        await self._announce()
        await self._forget_old()
        self._task = asyncio.create_task(self._run(), name="announcing")

    async def stop(self) -> None:
        """Be found no more."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        # Otherwise it ends by itself.
        with contextlib.suppress(LinkDown, ReplyError):
            await self._commands.ask("DEL", KEY + self.name)
            await self._commands.ask("ZREM", INDEX, self.name)

    async def find(self, name: str) -> Peer | None:
        """Give another process, None where there is none of that name; raises `LinkDown` or `ReplyError`."""
        now = asyncio.get_running_loop().time()
        known = self._known.get(name)
        if known is not None and known[0] > now:
            return known[1]
        found = await self._commands.ask("GET", KEY + name)
        peer = _peer(found) if found else None
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[name] = (now + (MEMORY_S if peer else MEMORY_OF_NONE_S), peer)
        return peer

    async def everyone(self) -> dict[str, dict[str, Any]]:
        """Give what every process says of itself, by name, this one's as it is now; `MOST_SHOWN` at the most.

        Raises `LinkDown` or `ReplyError`.
        """
        names = [name.decode() for name in await self._commands.ask("ZRANGE", INDEX, 0, MOST_SHOWN - 1, "REV")]
        entries = await asyncio.gather(*(self._commands.ask("GET", KEY + name) for name in names))
        there = {name: msgspec.json.decode(entry) for name, entry in zip(names, entries, strict=True) if entry}
        return there | {self.name: {**self._entry, **self._about()}}

    def forget(self, name: str) -> None:
        """Look a process up anew the next time: it did not answer."""
        self._known.pop(name, None)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ANNOUNCE_S)
            await self._announce()

    async def _announce(self) -> None:
        entry = msgspec.json.encode({**self._entry, **self._about()})
        # The next time, otherwise: an entry outlives two that are missed.
        with contextlib.suppress(LinkDown, ReplyError):
            await self._commands.ask("SET", KEY + self.name, entry, "PX", LIFE_MS)
            await self._commands.ask("ZADD", INDEX, time.time(), self.name)

    async def _forget_old(self) -> None:
        with contextlib.suppress(LinkDown, ReplyError):
            before = time.time() - FORGOTTEN_S
            if old := await self._commands.ask("ZRANGEBYSCORE", INDEX, "-inf", before, "LIMIT", 0, 1000):
                await self._commands.ask("ZREM", INDEX, *old)


def _peer(entry: bytes) -> Peer | None:
    try:
        found = msgspec.json.decode(entry)
        is_here = found["host"] == socket.gethostname() and os.path.exists(found["socket"])
        return Peer(str(found["url"]), str(found["socket"]) if is_here else "")
    except (msgspec.DecodeError, KeyError, TypeError):
        return None
