"""Samples values that cost too much for each scrape: the lag of the event loop, and the bytes that wait in memory.

The page for Prometheus must cost the same with ten thousand sockets as with ten, so nothing is added up for it.
Instead, some 0.2 ms of every tenth of a second go into a slice of the sockets, and the page shows the sums of the
last round over all slices.
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

# Sockets, members or tenants in one sample: a round over 10,000 sockets takes 4 s and a pause.
SLICE = 500
# Samples between two checks that a file can still be opened.
FILES_EVERY = 10
# Samples of pause between two rounds.
REST = 10
LAG_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

T = TypeVar("T")

_log = structlog.get_logger("gateway")


@dataclass(slots=True)
class Seen:
    """The sums over all sockets in one round of sampling."""

    users: int = 0
    """Users with a socket here, each counted once in a tenant."""
    unsent: int = 0
    unsent_most: int = 0
    """Bytes that clients have not read yet: of all clients, and of the client that has most."""
    corked: int = 0
    corked_most: int = 0
    """Events in corks: of all members, and of the member that has most."""
    backlog: int = 0
    """Messages that wait for a resync to end."""


class Vitals:
    """Samples from `start` to `stop`; `seen` has the sums of the last complete round."""

    def __init__(self, server: GatewayServer, every_s: float) -> None:
        self.lag = Histogram(*LAG_S)
        """Seconds by which a timer came late, measured ten times a second."""
        self.seen = Seen()
        self.files_exhausted = 0
        """Checks, one a second, that could not open another file."""
        self._server = server
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the sampling task."""
        self._task = asyncio.create_task(self._run(), name="vitals")

    async def stop(self) -> None:
        """Stop the sampling task."""
        await cancelled(self._task)

    async def _run(self) -> None:
        rounds = self.rounds()
        for number in itertools.count():
            # uvloop's own clock stands still while a callback runs, so this is another one.
            due = time.monotonic() + self._every_s
            await asyncio.sleep(self._every_s)
            self.lag.observe(max(0.0, time.monotonic() - due))
            next(rounds)
            if number % FILES_EVERY == 0:
                self.look_for_files()

    def look_for_files(self) -> None:
        """Count and log it if no file can be opened: libuv then closes new connections without a log line."""
        try:
            os.close(os.dup(2))
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                return
            self.files_exhausted += 1
            _log.error("files_exhausted", limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    def rounds(self) -> Iterator[None]:
        """Make rounds without end, one slice for each `next`."""
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
    """Yield a copy of the current things, at most `SLICE` at a time."""
    everything = list(things)
    for i in range(0, len(everything), SLICE):
        yield everything[i : i + SLICE]
