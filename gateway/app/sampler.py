"""Samples of values that are measured again and again: the lag of the loop, and the bytes that wait in memory.

A page for Prometheus must cost with ten thousand sockets what it costs with ten. So nothing is added up while it
is made: a few hundred sockets are looked at every tenth of a second, which takes some 0.2 ms, and the page shows
what the last round over all of them found.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import resource
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import structlog

from gateway.core.histogram import Histogram
from gateway.tasks import cancelled

if TYPE_CHECKING:
    from gateway.sockets.server import GatewayServer

TICK_S = 0.1
# Looked at in one tick: a round over 10,000 sockets takes 4 s.
SLICE = 500
# Ticks between two looks whether files can still be opened.
FILES_EVERY = 10
# Ticks between two rounds, however few sockets there are.
REST = 10
LAG_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

T = TypeVar("T")

_log = structlog.get_logger("gateway")


@dataclass(slots=True)
class Seen:
    """The findings of one round."""

    users: int = 0
    """Users with a socket here, each once in a tenant."""
    unsent: int = 0
    unsent_most: int = 0
    """Bytes that clients have not taken yet: of all, and of the one that has most."""
    corked: int = 0
    corked_most: int = 0
    """Events that wait behind an answer or for their turn: of all sockets, and of the one that has most."""
    backlog: int = 0
    """Messages that wait for a resync."""


class Vitals:
    """Looks, from `start` to `stop`; `seen` is what the last whole round found."""

    def __init__(self, server: GatewayServer) -> None:
        self.lag = Histogram(*LAG_S)
        """Seconds by which a timer came late, ten times a second."""
        self.seen = Seen()
        self.files_exhausted = 0
        """Looks, one a second, that found no file to be had."""
        self._server = server
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="vitals")

    async def stop(self) -> None:
        """Stop looking."""
        await cancelled(self._task)

    async def _run(self) -> None:
        rounds = self.rounds()
        for tick in itertools.count():
            # Not the loop's own clock: uvloop's stands still while a callback runs.
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self.lag.observe(max(0.0, time.monotonic() - due))
            next(rounds)
            if tick % FILES_EVERY == 0:
                self.look_for_files()

    def look_for_files(self) -> None:
        """Say so when no more files can be opened: libuv closes new connections then, and tells nobody."""
        try:
            os.close(os.dup(2))
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                return
            self.files_exhausted += 1
            _log.error("files_exhausted", limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    def rounds(self) -> Iterator[None]:
        """Go round and round, a slice at each step."""
        members = self._server.members
        while True:
            seen = Seen()
            users = set()
            for sockets in _slices(self._server.eio.sockets.values()):
                for socket in sockets:
                    unsent = socket.buffered
                    seen.unsent += unsent
                    seen.unsent_most = max(seen.unsent_most, unsent)
                yield
            for some_members in _slices(members.by_sid.values()):
                for member in some_members:
                    users.add((member.tenant.id, member.identity.user_id))
                    corked = len(member.cork or ())
                    seen.corked += corked
                    seen.corked_most = max(seen.corked_most, corked)
                yield
            for tenants in _slices(members.subscriptions.hub.tenants.values()):
                seen.backlog += sum(len(tenant.backlog or ()) for tenant in tenants)
                yield
            seen.users = len(users)
            self.seen = seen
            for _ in range(REST):
                yield


def _slices(things: Iterable[T]) -> Iterator[list[T]]:
    """Return things as they are now, some at a time."""
    everything = list(things)
    for i in range(0, len(everything), SLICE):
        yield everything[i : i + SLICE]
