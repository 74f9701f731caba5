"""The registry of processes: each announces itself in Redis, and finds the others there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
import structlog

from gateway.peers.keys import INDEX, KEY
from gateway.peers.proof import Proof
from gateway.redis.commands import Commands
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.tasks import cancelled

ANNOUNCE_S = 2.0
# Lifetime of an announcement: a process that was killed can be found for this long.
LIFE_MS = 15_000
# Names of killed processes stay in the index for this long; far more than clocks may differ.
FORGOTTEN_S = 3600.0
MOST_SHOWN = 256
# Most names to remember, unknown ones included, so that invalid ids do not cause a request to Redis each time.
MOST_KNOWN = 1024
MEMORY_S = 5.0
MEMORY_OF_NONE_S = 0.5

_log = structlog.get_logger("gateway.peers")


class Peer(NamedTuple):
    """The addresses at which a process takes requests of others."""

    url: str
    """The URL of its TCP port, which other workers may share."""
    socket: str
    """The path of its own Unix socket; empty without one, or if it is on another machine."""


class Entry(msgspec.Struct):
    """The address in the announcement of a process."""

    url: str
    socket: str
    host: str


_ENTRY: Final = msgspec.json.Decoder(Entry)


class Registry:
    """The announcement of this process, and a bounded cache of the addresses of others.

    `about` returns a JSON object of facts for `gateway top` and the console, every `announce_s` seconds.
    """

    def __init__(
        self,
        commands: Commands,
        name: str,
        about: Callable[[], Mapping[str, Any]],
        *,
        announce_s: float = ANNOUNCE_S,
    ) -> None:
        self._announce_s = announce_s
        self.name = name
        self.proof = Proof(commands)
        """Signs requests to other processes; its keys are refreshed with each announcement."""
        self._commands = commands
        self._about = about
        self._entry: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._known: dict[str, tuple[float, Peer | None]] = {}
        self._is_mute = False
        """Whether the last call of `about` failed; that is logged once."""

    async def start(self, url: str, unix_socket: str) -> None:
        """Announce this process at once, and again every `announce_s` seconds."""
        self._entry = {"url": url, "socket": unix_socket, "host": socket.gethostname(), "pid": os.getpid()}
        await self._refresh()
        await self._announce()
        await self._forget_old()
        self._task = asyncio.create_task(self._run(), name="announcing")

    async def stop(self) -> None:
        """Remove this process from the list of processes in Redis."""
        if self._task is None:
            return
        await cancelled(self._task)
        # If this fails, the announcement expires by itself.
        with contextlib.suppress(RedisUnavailable, ReplyError):
            await self._commands.ask("DEL", KEY + self.name)
            await self._commands.ask("ZREM", INDEX, self.name)

    async def find(self, name: str) -> Peer | None:
        """Return the address of a process, or None; raises `RedisUnavailable` or `ReplyError`."""
        now = asyncio.get_running_loop().time()
        known = self._known.get(name)
        if known is not None and known[0] > now:
            return known[1]
        found = await self._commands.ask("GET", KEY + name)
        peer = _peer(found) if found else None
        if found and peer is None:
            _log.warning("peer_unreadable", peer=name)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[name] = (now + (MEMORY_S if peer else MEMORY_OF_NONE_S), peer)
        return peer

    async def everyone(self) -> dict[str, dict[str, Any]]:
        """Return the newest `MOST_SHOWN` announcements by name; the one of this process is up to date.

        Raises `RedisUnavailable` or `ReplyError`.
        """
        return await entries(self._commands) | {self.name: self._said()}

    def invalidate(self, name: str) -> None:
        """Forget the address of a process that did not answer; the next `find` asks Redis."""
        self._known.pop(name, None)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._announce_s)
            await self._refresh()
            await self._announce()

    async def _refresh(self) -> None:
        # Ignore errors: the known keys stay in use until the next attempt.
        with contextlib.suppress(RedisUnavailable, ReplyError):
            await self.proof.refresh()

    async def _announce(self) -> None:
        entry = self._said()
        # Ignore errors: the announcement outlives several missed renewals.
        with contextlib.suppress(RedisUnavailable, ReplyError):
            await self._commands.ask("SET", KEY + self.name, msgspec.json.encode(entry), "PX", LIFE_MS)
            await self._commands.ask("ZADD", INDEX, time.time(), self.name)
            await self._commands.ask("PEXPIRE", INDEX, int(FORGOTTEN_S * 1000))

    def _said(self) -> dict[str, Any]:
        """Return the own announcement; if `about` fails, only the address, so that others still find us."""
        try:
            said = {**self._entry, **self._about()}
        except Exception as error:  # noqa: BLE001  # the catch-all of a task that has to go on
            if not self._is_mute:
                _log.error("announcement_failed", error=repr(error))
            self._is_mute = True
            return self._entry
        self._is_mute = False
        return said

    async def _forget_old(self) -> None:
        with contextlib.suppress(RedisUnavailable, ReplyError):
            before = time.time() - FORGOTTEN_S
            if old := await self._commands.ask("ZRANGEBYSCORE", INDEX, "-inf", before, "LIMIT", 0, 1000):
                await self._commands.ask("ZREM", INDEX, *old)


async def entries(commands: Commands) -> dict[str, dict[str, Any]]:
    """Return the newest `MOST_SHOWN` announcements, by the name of the process.

    Expired and malformed ones are left out. Raises `RedisUnavailable` or `ReplyError`.
    """
    names = await commands.ask("ZRANGE", INDEX, 0, MOST_SHOWN - 1, "REV")
    found = {}
    said_by = await asyncio.gather(*(commands.ask("GET", KEY.encode() + name) for name in names))
    for name, entry in zip(names, said_by, strict=True):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            said = msgspec.json.decode(entry or b"null")
            if isinstance(said, dict):
                found[name.decode()] = said
    return found


def _peer(entry: bytes) -> Peer | None:
    """Return the address in an announcement; None without a valid one."""
    try:
        found = _ENTRY.decode(entry)
        where = urlsplit(found.url)
        # `where.port` raises ValueError for an invalid port.
        if where.scheme not in ("http", "https") or not where.hostname or where.port == 0 or where.path:
            return None
        is_here = found.host == socket.gethostname() and os.path.exists(found.socket)
        return Peer(found.url, found.socket if is_here else "")
    except (msgspec.DecodeError, ValueError):
        return None
