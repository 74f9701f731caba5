"""One connection that is subscribed to the channels of rooms with members on this replica.

It reconnects by itself and subscribes again in batches. It tells its owner when the connection is lost, and when
every channel is confirmed again; the owner then reads missed messages from the logs. A `Probe` tests the
connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import structlog

from gateway.core.clock import ServerClock
from gateway.redis.commands import OPEN_ERRORS, Commands, new_backoff
from gateway.redis.connection import Connection, RedisUnavailable, ReplyError, Rest, Source
from gateway.redis.probe import Probe, ProbedShard
from gateway.tasks import cancelled
from publisher.address import Node
from publisher.ids import new_hex
from publisher.topology import slot_of

# Kinds of pushes, with and without sharding.
_MESSAGES = (b"message", b"smessage")
_CONFIRMATIONS = (b"subscribe", b"ssubscribe")

_log = structlog.get_logger("gateway.redis")


class Shard(ProbedShard, Protocol):
    """Port: the shard of a subscriber, in a cluster."""

    def batches(self, channels: Iterable[bytes]) -> Iterable[list[bytes]]:
        """Return the channels grouped by slot: one command may only name channels of one slot."""

    def gave_up(self, channels: list[bytes]) -> None:
        """Handle subscriptions that the server ended because their slot has moved."""


class Subscriber:
    """The connection and the subscriptions of this replica; in a cluster, those of one shard.

    `on_message(channel, payload)` gets every message, in order. `on_lost()` is called when the connection breaks.
    `on_back()` is awaited when a new connection is up and every channel is confirmed. `clock` learns the time of
    Redis. With `shard` pub/sub is sharded.
    """

    def __init__(
        self,
        source: Source,
        commands: Commands,
        *,
        on_message: Callable[[bytes, bytes], Rest | None],
        on_lost: Callable[[], None],
        on_back: Callable[[], Awaitable[None]],
        clock: ServerClock,
        shard: Shard | None = None,
    ) -> None:
        self._shard = shard
        self.word = "SUBSCRIBE" if shard is None else "SSUBSCRIBE"
        self._source = source
        self._commands = commands
        self._most = commands.limits.subscribed_channels
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_back = on_back
        self._connection: Connection | None = None
        self._gone = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._channels: dict[bytes, asyncio.Future[None]] = {}
        self._fresh: list[bytes] = []
        # Confirmations under way per channel: after unsubscribe and subscribe, only the last one counts.
        self._unconfirmed: dict[bytes, int] = {}
        # Subscriptions that the server refused or ended, and that we have not requested again.
        self._ended: set[bytes] = set()
        self._fence: asyncio.Future[None] | None = None
        self._fences: dict[bytes, asyncio.Future[None]] = {}
        self._settled = False
        self._loop = asyncio.get_running_loop()
        self.reconnects = 0
        self.probe = Probe(self, source, commands, clock, shard=shard)
        self.clock = clock
        self.round_trip = self.probe.round_trip

    async def start(self) -> None:
        """Connect, or raise the error of redis-py or the system; then reconnect in the background."""
        await self._open()
        with contextlib.suppress(RedisUnavailable, ReplyError):
            await self.probe.ask_time()
        self._settled = True
        self.start_reconnecting()

    def start_reconnecting(self) -> None:
        """Start the background task that connects whenever the connection is down, and then awaits `on_back`."""
        if self._connection is None:
            self._gone.set()
        self._keeper = asyncio.create_task(self._keep(), name="redis subscriber")
        self.probe.start()

    async def stop(self) -> None:
        """Close the connection for good."""
        await cancelled(self._keeper)
        await self.probe.stop()
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        for future in (*self._channels.values(), *self._fences.values()):
            future.cancel()

    def __len__(self) -> int:
        return len(self._channels)

    def of(self, tenant: str) -> Subscriber:
        """Return the subscriber of a tenant: always this one, without a cluster."""
        return self

    @property
    def connection(self) -> Connection | None:
        """The connection to Redis; None while it is down."""
        return self._connection

    @property
    def server(self) -> Node | None:
        """Return the server at the other end; None while the connection is down."""
        return self._connection.server if self._connection is not None else None

    @property
    def is_there(self) -> bool:
        """Return whether the connection is up."""
        return self._connection is not None

    def has(self, channel: bytes) -> bool:
        """Return whether the channel is confirmed on the present connection."""
        waits = self._unconfirmed.get(channel) or channel in self._ended
        return self._connection is not None and channel in self._channels and not waits

    @property
    def commands(self) -> Commands:
        """Return the commands connection to the same server."""
        return self._commands

    @property
    def hears(self) -> bool:
        """Return whether this subscriber receives all messages.

        True while probes arrive. After a reconnect all channels must be confirmed, and `on_back` finished, first.
        """
        return self._settled and self.probe.is_fresh

    @property
    def hears_all(self) -> bool:
        """Return `hears`: without a cluster this is the only subscriber."""
        return self.hears

    @property
    def heard_until(self) -> int:
        """The seq up to which all messages on our channels have been handled."""
        return self.probe.heard_until

    @property
    def deaf(self) -> int:
        """Return the number of probes that did not arrive."""
        return self.probe.deaf

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        """Subscribe to a channel; the future is done when Redis confirms, even if only after a reconnect."""
        future = self._channels.get(channel)
        if future is None:
            future = self._channels[channel] = self._loop.create_future()
            if not self._fresh:
                self._loop.call_soon(self._subscribe_fresh)
            self._fresh.append(channel)
        return future

    def unsubscribe(self, channels: Iterable[bytes]) -> None:
        """Unsubscribe from channels; those that are not subscribed are ignored."""
        known = [channel for channel in channels if self._channels.pop(channel, None) is not None]
        self._ended.difference_update(known)
        for batch in self._batches(known):
            if self._connection is not None:
                self._connection.send("UNSUBSCRIBE" if self._shard is None else "SUNSUBSCRIBE", *batch)

    def adopt(self, channels: Mapping[bytes, asyncio.Future[None]]) -> None:
        """Subscribe to channels of another shard; their futures are resolved here from now on."""
        self._channels |= channels
        for batch in self._batches(channels):
            self._send_subscribe(batch)

    def _batches(self, channels: Iterable[bytes]) -> Iterator[list[bytes]]:
        groups = [list(channels)] if self._shard is None else self._shard.batches(channels)
        for group in groups:
            for i in range(0, len(group), self._most):
                yield group[i : i + self._most]

    async def fence(self) -> None:
        """Wait until all messages published before this call are handled; raises `RedisUnavailable`."""
        if self._connection is None:
            raise RedisUnavailable("Redis is unavailable")
        if self._fence is None:
            self._fence = self._loop.create_future()
            self._loop.call_soon(self._raise_fence)
        await asyncio.shield(self._fence)

    def _raise_fence(self) -> None:
        """Send one PING for all callers of `fence` in this turn of the loop."""
        fence, self._fence = self._fence, None
        if fence is None:
            return
        fence.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._connection is None:
            fence.set_exception(RedisUnavailable("Redis is unavailable"))
            return
        token = new_hex(8).encode()
        self._fences[token] = fence
        self._connection.send("PING", token)

    def _subscribe_fresh(self) -> None:
        fresh, self._fresh = [c for c in self._fresh if c in self._channels], []
        for batch in self._batches(fresh):
            self._send_subscribe(batch)

    def _send_subscribe(self, channels: list[bytes]) -> None:
        if self._connection is None:
            return
        for channel in channels:
            self._unconfirmed[channel] = self._unconfirmed.get(channel, 0) + 1
            self._ended.discard(channel)
        self._connection.send(self.word, *channels)

    def _confirmed(self, channel: bytes) -> None:
        left = self._unconfirmed.pop(channel, 1) - 1
        if left:
            self._unconfirmed[channel] = left
            return
        future = self._channels.get(channel)
        if future is not None and not future.done():
            future.set_result(None)

    def _on_push(self, push: list[Any] | bytes | ReplyError) -> Rest | None:
        if isinstance(push, ReplyError):
            if self._shard is not None and self._shard.heed(push):
                self._refused_with(push)
                return None
            # LOADING after a restart, NOPERM by an ACL: this connection will never confirm the missing channels.
            _log.warning("redis_subscribe_refused", reason=str(push)[:200])
            self.drop()
            return None
        if isinstance(push, bytes):
            self._pong(push)  # PONG from a server on which we have no subscription
            return None
        kind = push[0]
        if kind in _MESSAGES:
            channel = push[1]
            if channel == self.probe.channel:
                self.probe.came_back(push[2])
                return None
            return self._on_message(channel, push[2])
        if kind in _CONFIRMATIONS:
            self._confirmed(push[1])
        elif kind == b"pong":
            self._pong(push[1])
        elif kind == b"sunsubscribe":
            self._given_up(push[1])
        return None

    def _refused_with(self, error: ReplyError) -> None:
        """Mark subscriptions as ended after MOVED: all unconfirmed ones in the slot that the error names."""
        slot = int(str(error).split(" ")[1])
        for channel in [channel for channel in self._unconfirmed if slot_of(channel) == slot]:
            del self._unconfirmed[channel]
            self._ended.add(channel)

    def _pong(self, token: bytes) -> None:
        fence = self._fences.pop(token, None)
        if fence is not None and not fence.done():
            fence.set_result(None)

    def _given_up(self, channel: bytes) -> None:
        """Handle the end of a subscription; tell the shard if we did not request it."""
        if self._shard is None:
            return
        if channel == self.probe.channel:
            self.probe.go_elsewhere()
        elif channel in self._channels and not self._unconfirmed.get(channel):
            self._ended.add(channel)
            self._shard.gave_up([channel])

    def _on_gone(self) -> None:
        self._connection = None
        self._settled = False
        self._unconfirmed.clear()
        self._ended.clear()
        fences, self._fences = self._fences, {}
        for fence in fences.values():
            if not fence.done():
                fence.set_exception(RedisUnavailable("the connection to Redis broke"))
        self._on_lost()
        self._gone.set()

    async def _open(self) -> None:
        connection = self._source.connection(on_push=self._on_push, on_lost=self._on_gone)
        await connection.open()
        self._gone.clear()
        self._connection = connection
        self.probe.opened(connection)

    async def _keep(self) -> None:
        backoff, failures = new_backoff(self._commands.limits), 0
        while True:
            await self._gone.wait()
            was_there = self.probe.opened_at > 0
            if was_there:
                _log.warning("redis_subscriber_lost", channels=len(self._channels))
            while self._connection is None:
                try:
                    await self._open()
                except OPEN_ERRORS:
                    failures += 1
                    await asyncio.sleep(backoff.compute(failures))
            self.reconnects += was_there
            try:
                await self._resubscribe()
                await self._on_back()
            except (RedisUnavailable, ReplyError) as error:
                # Either connection may have failed: start again with a new one.
                _log.warning("redis_resync_failed", reason=str(error))
                failures += 1
                await asyncio.sleep(backoff.compute(failures))
                self.drop()
            else:
                failures = 0
                self._settled = self._connection is not None
                _log.info("redis_subscriber_back", channels=len(self._channels))

    async def _resubscribe(self) -> None:
        """Subscribe to all channels in batches, and wait for the confirmations."""
        channels = list(self._channels)
        self._fresh.clear()
        unfenced = 0
        for batch in self._batches(channels):
            if self._connection is None:
                raise RedisUnavailable("the connection to Redis broke")
            self._send_subscribe([channel for channel in batch if channel in self._channels])
            unfenced += len(batch)
            if unfenced >= self._most:
                await self.fence()
                unfenced = 0
        await self.fence()

    def drop(self) -> None:
        """Close the connection; `_keep` makes a new one and subscribes again."""
        if self._connection is not None:
            self._connection.abort()
