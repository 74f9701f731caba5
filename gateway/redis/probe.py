"""Finding out whether a connection still hears, and whether the server at its end is still the right one.

A half-open connection shows nothing by itself: a probe that the replica publishes to itself must come back, or the
connection is rebuilt. Each probe carries the time that Redis says it is, so one that comes back also tells up to
when everything has been heard, and teaches the clock.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from gateway.core.clock import ServerClock
from gateway.core.histogram import Histogram
from gateway.redis.commands import Commands
from gateway.redis.connection import Connection, RedisUnavailable, ReplyError, Source
from gateway.tasks import cancelled
from publisher.ids import new_hex
from publisher.offsets import SEQ_PER_S

# What a Redis that just answered on the other connection has for an answer on this one.
ANSWER_S = 1.0
ROUND_TRIP_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)

_log = structlog.get_logger("gateway.redis")


class Hearing(Protocol):
    """The connection that is probed: `Subscriber`."""

    word: str
    """The command that subscribes."""

    @property
    def connection(self) -> Connection | None:
        """The connection, while there is one."""

    async def fence(self) -> None:
        """Wait until everything that was published before has been handed on; raises `RedisUnavailable`."""

    def drop(self) -> None:
        """Give the connection up; a new one is made."""


class ProbedShard(Protocol):
    """The shard whose connection is probed."""

    round_trip: Histogram

    def probe_channel(self) -> bytes:
        """Name a new channel in a slot that this shard has."""

    def heed(self, error: ReplyError) -> bool:
        """Take in what the server said instead of an answer; True when that settles it."""


class Probe:
    """The probes of one connection; of a cluster, of one shard's."""

    def __init__(
        self,
        hearing: Hearing,
        source: Source,
        commands: Commands,
        clock: ServerClock,
        *,
        shard: ProbedShard | None = None,
    ) -> None:
        self.channel = b"rt:probe:" + new_hex(8).encode() if shard is None else shard.probe_channel()
        """Where the probes are published: nobody else's channel."""
        self.heard_until = 0
        """Seq up to which everything published to our channels has been handed on: the last probe's time."""
        self.deaf = 0
        self.opened_at = 0.0
        """When the connection was made, by the loop's clock; 0.0 while there never was one."""
        self._clock = clock
        self.round_trip = Histogram(*ROUND_TRIP_S) if shard is None else shard.round_trip
        """Seconds that Redis took to say what time it is, this loop's own waiting included."""
        self._hearing = hearing
        self._source = source
        self._commands = commands
        self._every_s = commands.limits.probe_every_s
        self._timeout_s = commands.limits.probe_timeout_s
        self._shard = shard
        self._heard_at = 0.0
        self._asked_over = commands.reconnects
        self._tasks: list[asyncio.Task[None]] = []
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        """Probe every few seconds from now on."""
        self._tasks.append(asyncio.create_task(self._probe(), name="redis probe"))
        if self._source.has_sentinels:
            self._tasks.append(asyncio.create_task(self._follow(), name="redis master"))

    async def stop(self) -> None:
        """Leave it."""
        await cancelled(*self._tasks)

    @property
    def is_fresh(self) -> bool:
        """Return whether one came back lately."""
        return self._loop.time() - self._heard_at < self._timeout_s

    def opened(self, connection: Connection) -> None:
        """Go on over a new connection, which counts as one that hears for now."""
        self._heard_at = self.opened_at = self._loop.time()
        if self._shard is not None:
            self.channel = self._shard.probe_channel()
        connection.send(self._hearing.word, self.channel)

    def came_back(self, payload: bytes) -> None:
        """Take in a message on our channel."""
        self._heard_at = self._loop.time()
        self.heard_until = int(payload)

    def go_elsewhere(self) -> None:
        """Probe over another slot: the one that we did it over has gone to another shard."""
        connection = self._hearing.connection
        if self._shard is not None and connection is not None:
            self.channel = self._shard.probe_channel()
            connection.send(self._hearing.word, self.channel)

    async def ask_time(self) -> int:
        """Return Redis' time in µs, and learn from it; raises `RedisUnavailable` or `ReplyError`."""
        asked_at = self._clock.monotonic()
        seconds, micros = await self._commands.ask("TIME")
        heard_at = self._clock.monotonic()
        if self._asked_over != self._commands.reconnects:
            self._asked_over = self._commands.reconnects
            self._clock.reset()
        now = int(seconds) * SEQ_PER_S + int(micros)
        self._clock.learn(asked_at, heard_at, now)
        self.round_trip.observe(heard_at - asked_at)
        return now

    async def _probe(self) -> None:
        """Publish to oneself every few seconds; rebuild the connection when that stays unheard."""
        while True:
            await asyncio.sleep(self._every_s)
            if self._hearing.connection is not None and self.opened_at < self._commands.demoted_at:
                self._hearing.drop()
            connection = self._hearing.connection
            try:
                async with asyncio.timeout(self._timeout_s):
                    now = await self.ask_time()
                    await self._commands.ask(self._commands.publishing, self.channel, str(now))
            except (TimeoutError, RedisUnavailable, ReplyError) as error:
                if self._shard is not None and isinstance(error, ReplyError) and self._shard.heed(error):
                    self.go_elsewhere()
                continue  # Redis can't be asked, which says nothing about whether it can be heard
            # A connection that came about meanwhile may have been too late for this probe.
            if (
                connection is not None
                and not await self._heard(connection, now)
                and connection is self._hearing.connection
            ):
                self.deaf += 1
                _log.error("redis_subscriber_deaf", unheard_s=round(self._loop.time() - self._heard_at, 1))
                self._hearing.drop()

    async def _heard(self, connection: Connection, now: int) -> bool:
        """Return whether a probe came back; it may take as long as the connection brings what is before it."""
        fence = asyncio.ensure_future(self._hearing.fence())
        try:
            while not fence.done():
                # What was silent for long already has only a moment left.
                await asyncio.wait((fence,), timeout=max(self._timeout_s - connection.silent_s(), ANSWER_S))
                if not fence.done() and connection.silent_s() >= self._timeout_s:
                    return False
            fence.result()
        except RedisUnavailable:
            return True  # gone, which shows by itself
        finally:
            fence.cancel()
        return self.heard_until >= now

    async def _follow(self) -> None:
        """Leave a server that is not the master any more, with both connections, as soon as Sentinels say so."""
        while True:
            await asyncio.sleep(self._every_s)
            master = await self._source.master()
            if master is None:
                continue
            if self._commands.server not in (None, master):
                self._commands.drop()
            connection = self._hearing.connection
            if connection is not None and connection.server != master:
                self._hearing.drop()
