"""Hearing Redis: one connection that is subscribed to the channels this replica has members for.

It comes back by itself, subscribes again in batches, and tells its owner when it was lost and when every
channel is heard again, so that what was missed meanwhile can be read from the logs. A half-open connection
shows nothing by itself: a probe that the replica publishes to itself must come back, or the connection is
rebuilt.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import structlog

from gateway.bus.commands import OPEN_ERRORS, Commands, new_backoff
from gateway.bus.link import Link, LinkDown, ReplyError, Rest, Source
from gateway.core.clock import ServerClock
from gateway.core.histogram import Histogram
from publisher.ids import new_hex
from publisher.offsets import SEQ_PER_S

# Channels in one SUBSCRIBE: a replica with 10,000 rooms must not stall Redis or its own loop.
BATCH = 500
PROBE_INTERVAL_S = 2.0
# Two probes in a row unanswered, and some.
PROBE_TIMEOUT_S = 5.0
# What a Redis that just answered on the other connection has for an answer on this one.
ANSWER_S = 1.0
ROUND_TRIP_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)

_log = structlog.get_logger("gateway.bus")


class Subscriber:
    """The subscriptions of this replica and the connection under them.

    `on_message(channel, payload)` gets every message, in order. `on_lost()` is called when the connection
    breaks, `await on_back()` when it is there again and every channel has been confirmed.
    """

    def __init__(
        self,
        source: Source,
        commands: Commands,
        *,
        on_message: Callable[[bytes, bytes], Rest | None],
        on_lost: Callable[[], None],
        on_back: Callable[[], Awaitable[None]],
    ) -> None:
        self._source = source
        self._commands = commands
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_back = on_back
        self._link: Link | None = None
        self._gone = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._prober: asyncio.Task[None] | None = None
        self._channels: dict[bytes, asyncio.Future[None]] = {}
        self._fresh: list[bytes] = []
        # Confirmations under way: after giving a channel up and asking again, the first one means nothing.
        self._unconfirmed: dict[bytes, int] = {}
        self._fence: asyncio.Future[None] | None = None
        self._fences: dict[bytes, asyncio.Future[None]] = {}
        self._probe_channel = b"rt:probe:" + new_hex(8).encode()
        self._heard_at = 0.0
        self._settled = False
        self.heard_until = 0
        """Seq up to which everything published to our channels has been handed on: the last probe's time."""
        self._loop = asyncio.get_running_loop()
        self.reconnects = 0
        self.deaf = 0
        self.clock = ServerClock(time.monotonic)
        self.round_trip = Histogram(*ROUND_TRIP_S)
        """Seconds that Redis took to say what time it is, this loop's own waiting included."""
        self._asked_over = commands.reconnects

    async def start(self) -> None:
        """Connect, or raise what redis-py or the system raises; from then on come back by itself."""
        await self._open()
        with contextlib.suppress(LinkDown, ReplyError):
            await self._ask_time()
        self._settled = True
        self._keeper = asyncio.create_task(self._keep(), name="redis subscriber")
        self._prober = asyncio.create_task(self._probe(), name="redis probe")

    async def stop(self) -> None:
        """Disconnect."""
        tasks = [task for task in (self._keeper, self._prober) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._link is not None:
            await self._link.close()
            self._link = None
        for future in (*self._channels.values(), *self._fences.values()):
            future.cancel()

    def __len__(self) -> int:
        return len(self._channels)

    @property
    def hears(self) -> bool:
        """Tell whether a probe came back lately: only then does this replica miss nothing.

        A connection that is there again counts once every channel is heard and what was missed is made good.
        """
        return self._settled and self._loop.time() - self._heard_at < PROBE_TIMEOUT_S

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        """Ask for a channel; the future is done once Redis has confirmed it, also when that takes a reconnect."""
        future = self._channels.get(channel)
        if future is None:
            future = self._channels[channel] = self._loop.create_future()
            if not self._fresh:
                self._loop.call_soon(self._subscribe_fresh)
            self._fresh.append(channel)
        return future

    def unsubscribe(self, channels: Iterable[bytes]) -> None:
        """Give channels up."""
        known = [channel for channel in channels if self._channels.pop(channel, None) is not None]
        for i in range(0, len(known), BATCH):
            if self._link is not None:
                self._link.send("UNSUBSCRIBE", *known[i : i + BATCH])

    async def fence(self) -> None:
        """Wait until everything that was published before this call has been handed on; raises `LinkDown`."""
        if self._link is None:
            raise LinkDown("Redis is away")
        if self._fence is None:
            self._fence = self._loop.create_future()
            self._loop.call_soon(self._raise_fence)
        await asyncio.shield(self._fence)

    def _raise_fence(self) -> None:
        """Send the fence for everybody who asked for one in this turn."""
        fence, self._fence = self._fence, None
        if fence is None:
            return
        fence.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._link is None:
            fence.set_exception(LinkDown("Redis is away"))
            return
        token = new_hex(8).encode()
        self._fences[token] = fence
        self._link.send("PING", token)

    def _subscribe_fresh(self) -> None:
        fresh, self._fresh = [c for c in self._fresh if c in self._channels], []
        for i in range(0, len(fresh), BATCH):
            self._send_subscribe(fresh[i : i + BATCH])

    def _send_subscribe(self, channels: list[bytes]) -> None:
        if self._link is None:
            return
        for channel in channels:
            self._unconfirmed[channel] = self._unconfirmed.get(channel, 0) + 1
        self._link.send("SUBSCRIBE", *channels)

    def _confirmed(self, channel: bytes) -> None:
        left = self._unconfirmed.pop(channel, 1) - 1
        if left:
            self._unconfirmed[channel] = left
            return
        future = self._channels.get(channel)
        if future is not None and not future.done():
            future.set_result(None)

    def _take(self, push: Sequence[Any] | ReplyError) -> Rest | None:
        if isinstance(push, ReplyError):
            # LOADING after a restart, NOPERM by a rule: what is not confirmed now never will be on this link.
            _log.warning("redis_subscribe_refused", reason=str(push)[:200])
            self.drop()
            return None
        kind = push[0]
        if kind == b"message":
            channel = push[1]
            if channel == self._probe_channel:
                self._heard_at = self._loop.time()
                self.heard_until = int(push[2])
                return None
            return self._on_message(channel, push[2])
        if kind == b"subscribe":
            self._confirmed(push[1])
        elif kind == b"pong":
            fence = self._fences.pop(push[1], None)
            if fence is not None and not fence.done():
                fence.set_result(None)
        return None

    def _on_gone(self) -> None:
        self._link = None
        self._settled = False
        self._unconfirmed.clear()
        fences, self._fences = self._fences, {}
        for fence in fences.values():
            if not fence.done():
                fence.set_exception(LinkDown("the connection to Redis broke"))
        self._on_lost()
        self._gone.set()

    async def _open(self) -> None:
        link = Link(self._source, on_push=self._take, on_lost=self._on_gone)
        await link.open()
        self._gone.clear()
        self._link = link
        self._heard_at = self._loop.time()
        link.send("SUBSCRIBE", self._probe_channel)

    async def _keep(self) -> None:
        backoff, failures = new_backoff(), 0
        while True:
            await self._gone.wait()
            _log.warning("redis_subscriber_lost", channels=len(self._channels))
            while self._link is None:
                try:
                    await self._open()
                except OPEN_ERRORS:
                    failures += 1
                    await asyncio.sleep(backoff.compute(failures))
            self.reconnects += 1
            try:
                await self._resubscribe()
                failures = 0
                await self._on_back()
            except (LinkDown, ReplyError) as error:
                # Lost again halfway, or the connection that asks is not back yet: begin again from the top.
                _log.warning("redis_resync_failed", reason=str(error))
                failures += 1
                await asyncio.sleep(backoff.compute(failures))
                self.drop()
            else:
                self._settled = self._link is not None
                _log.info("redis_subscriber_back", channels=len(self._channels))

    async def _resubscribe(self) -> None:
        """Subscribe to every channel again, a batch at a time, and wait for the confirmations."""
        channels = list(self._channels)
        self._fresh.clear()
        for i in range(0, len(channels), BATCH):
            if self._link is None:
                raise LinkDown("the connection to Redis broke")
            self._send_subscribe(channels[i : i + BATCH])
            await self.fence()
        await self.fence()

    async def _probe(self) -> None:
        """Publish to oneself every few seconds; rebuild the connection when that stays unheard."""
        while True:
            await asyncio.sleep(PROBE_INTERVAL_S)
            link = self._link
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    now = await self._ask_time()
                    await self._commands.ask("PUBLISH", self._probe_channel, str(now))
            except (TimeoutError, LinkDown, ReplyError):
                continue  # Redis can't be asked, which says nothing about whether it can be heard
            # A connection that came about meanwhile may have been too late for this probe.
            if link is not None and not await self._heard(link, now) and link is self._link:
                self.deaf += 1
                _log.error("redis_subscriber_deaf", unheard_s=round(self._loop.time() - self._heard_at, 1))
                self.drop()

    async def _ask_time(self) -> int:
        """Give Redis' time in µs, and learn from it; raises `LinkDown` or `ReplyError`."""
        asked_at = self.clock.monotonic()
        seconds, micros = await self._commands.ask("TIME")
        heard_at = self.clock.monotonic()
        if self._asked_over != self._commands.reconnects:
            self._asked_over = self._commands.reconnects
            self.clock.forget()
        now = int(seconds) * SEQ_PER_S + int(micros)
        self.clock.learn(asked_at, heard_at, now)
        self.round_trip.observe(heard_at - asked_at)
        return now

    async def _heard(self, link: Link, now: int) -> bool:
        """Tell whether a probe came back; it may take as long as the connection brings what is before it."""
        fence = asyncio.ensure_future(self.fence())
        try:
            while not fence.done():
                # What was silent for long already has only a moment left.
                await asyncio.wait((fence,), timeout=max(PROBE_TIMEOUT_S - link.silent_s(), ANSWER_S))
                if not fence.done() and link.silent_s() >= PROBE_TIMEOUT_S:
                    return False
            fence.result()
        except LinkDown:
            return True  # gone, which shows by itself
        finally:
            fence.cancel()
        return self.heard_until >= now

    def drop(self) -> None:
        """Give the connection up; a new one is made, and everything on it once more."""
        if self._link is not None:
            self._link.abort()
