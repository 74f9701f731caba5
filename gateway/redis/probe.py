"""Probes: does a subscriber's connection still receive messages, and from the right server?

A half-open connection looks like a quiet one. So a replica publishes a probe to itself every few seconds, and
rebuilds the connection if the probe does not arrive. Each probe carries the time of Redis. A probe that arrives
proves that all earlier messages have arrived, too.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from gateway.core.clock import ServerClock
from gateway.core.histogram import Histogram
from gateway.redis.commands import Commands
from gateway.redis.connection import Connection, RedisUnavailable, ReplyError, Source
from gateway.redis.keys import probe_channel
from gateway.tasks import cancelled
from publisher.offsets import SEQ_PER_S

# Least time to wait for a probe or fence, even on a connection that has been silent for long.
ANSWER_S = 1.0
ROUND_TRIP_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)

_log = structlog.get_logger("gateway.redis")


class Hearing(Protocol):
    """Port: the owner of the probed connection (`Subscriber`)."""

    word: str
    """The command to subscribe with: `SUBSCRIBE` or `SSUBSCRIBE`."""

    @property
    def connection(self) -> Connection | None:
        """The connection to Redis; None while it is down."""

    async def fence(self) -> None:
        """Wait until all messages published before this call are handled; raises `RedisUnavailable`."""

    def drop(self) -> None:
        """Close the connection; the owner makes a new one."""


class ProbedShard(Protocol):
    """Port: the shard of the probed connection, in a cluster."""

    round_trip: Histogram

    def probe_channel(self) -> bytes:
        """Return a new channel name in a slot of this shard."""

    def heed(self, error: ReplyError) -> bool:
        """Learn from a server's error; return whether it was MOVED, which ends one slot's subscriptions only."""


class Probe:
    """Sends itself messages through Redis, to know that one subscriber's connection still gets them."""

    def __init__(
        self,
        hearing: Hearing,
        source: Source,
        commands: Commands,
        clock: ServerClock,
        *,
        shard: ProbedShard | None = None,
    ) -> None:
        self.channel = probe_channel() if shard is None else shard.probe_channel()
        """The channel that the probes are published on; nobody else uses it."""
        self.heard_until = 0
        """The time in the last probe that arrived, as a seq: all messages up to it have been handled."""
        self.deaf = 0
        self.opened_at = 0.0
        """Loop time at which the connection was made; 0.0 before the first one."""
        self._clock = clock
        self.round_trip = Histogram(*ROUND_TRIP_S) if shard is None else shard.round_trip
        """Seconds from sending TIME to its reply; includes the delay in this loop."""
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

    def start(self) -> None:
        """Start the task that probes every few seconds."""
        self._tasks.append(asyncio.create_task(self._probe(), name="redis probe"))
        if self._source.has_sentinels:
            self._tasks.append(asyncio.create_task(self._follow(), name="redis master"))

    async def stop(self) -> None:
        """End the probing."""
        await cancelled(*self._tasks)

    @property
    def is_fresh(self) -> bool:
        """Return whether the last probe arrived less than the probe timeout ago."""
        return self._loop.time() - self._heard_at < self._timeout_s

    def opened(self, connection: Connection) -> None:
        """Subscribe to the probe channel on a new connection; the connection counts as probed now."""
        self._heard_at = self.opened_at = self._loop.time()
        if self._shard is not None:
            self.channel = self._shard.probe_channel()
        connection.send(self._hearing.word, self.channel)

    def came_back(self, payload: bytes) -> None:
        """Note that a probe has arrived, and the time up to which everything before it was heard."""
        self._heard_at = self._loop.time()
        self.heard_until = int(payload)

    def go_elsewhere(self) -> None:
        """Change to a channel in another slot, because the slot of this one moved to another shard."""
        connection = self._hearing.connection
        if self._shard is not None and connection is not None:
            self.channel = self._shard.probe_channel()
            connection.send(self._hearing.word, self.channel)

    async def ask_time(self) -> int:
        """Return Redis' time in µs and adjust the clock; raises `RedisUnavailable` or `ReplyError`."""
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
        """Publish a probe every few seconds; drop the connection if one does not arrive."""
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
                continue  # the other connection failed: this says nothing about the subscriber's
            # A connection made after the probe was published can't have received it.
            if (
                connection is not None
                and not await self._heard(connection, now)
                and connection is self._hearing.connection
            ):
                self.deaf += 1
                _log.error("redis_subscriber_deaf", unheard_s=round(self._loop.time() - self._heard_at, 1))
                self._hearing.drop()

    async def _heard(self, connection: Connection, now: int) -> bool:
        """Return whether a probe arrived; wait as long as the connection still delivers earlier messages."""
        fence = asyncio.ensure_future(self._hearing.fence())
        try:
            while not fence.done():
                await asyncio.wait((fence,), timeout=max(self._timeout_s - connection.silent_s(), ANSWER_S))
                if not fence.done() and connection.silent_s() >= self._timeout_s:
                    return False
            fence.result()
        except RedisUnavailable:
            return True  # the connection broke, which its owner notices
        finally:
            fence.cancel()
        return self.heard_until >= now

    async def _follow(self) -> None:
        """Drop connections to a server that is no longer the master, as soon as the Sentinels name another."""
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
