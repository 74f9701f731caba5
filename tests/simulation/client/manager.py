"""The connection and its reconnecting: the `Manager` of socket.io-client 4.8 (manager.js), call for call."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from typing import Any, Literal, Protocol

from tests.simulation.client.engine import Engine
from tests.simulation.client.packets import Packet, decode
from tests.simulation.client.tab import Tab


class Backoff:
    """The pauses between attempts, in milliseconds: backo2.js.

    From the 1015th on, half of them are 0: the library computes `Infinity - Infinity`.
    """

    def __init__(self, min_ms: int, max_ms: int, jitter: float, rng: random.Random) -> None:
        self.attempts = 0
        self._min = min_ms
        self._max = max_ms
        self._jitter = jitter if 0 < jitter <= 1 else 0.0
        self._random = rng

    def duration(self) -> int:
        """Return the next pause."""
        ms = self._min * (2.0**self.attempts if self.attempts < 1024 else math.inf)
        self.attempts += 1
        if self._jitter:
            drawn = self._random.random()
            deviation = drawn * self._jitter * ms
            deviation = math.floor(deviation) if math.isfinite(deviation) else deviation
            ms = ms + deviation if math.floor(drawn * 10) & 1 else ms - deviation
        return 0 if math.isnan(ms) else int(min(ms, self._max))

    def reset(self) -> None:
        """Begin anew."""
        self.attempts = 0


class ManagerListener(Protocol):
    """Hears of the connection: the socket, and what a page learns of the manager."""

    is_active: bool

    def manager_open(self) -> None: ...
    def manager_packet(self, packet: Packet) -> None: ...
    def manager_error(self, message: str, data: Any) -> None: ...
    def manager_close(self, reason: str) -> None: ...
    def manager_upgrade(self) -> None: ...
    def manager_attempt(self, number: int) -> None: ...
    def manager_gave_up(self) -> None: ...


class Manager:
    """Keeps one session open for the one socket of a page."""

    def __init__(self, tab: Tab, listener: ManagerListener) -> None:
        self.engine: Engine | None = None
        self.state: Literal["closed", "opening", "open"] = "closed"
        self._tab = tab
        self._listener = listener
        self._options = options = tab.options
        self._backoff = Backoff(
            options.reconnection_delay_ms,
            options.reconnection_delay_max_ms,
            options.randomization_factor,
            tab.random,
        )
        self._done: Callable[[str | None], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Of the attempt under way, or of the pause before the next one: never both."""
        self._is_reconnecting = False
        self._skips = False

    @property
    def is_reconnecting(self) -> bool:
        """Whether it comes back by itself."""
        return self._is_reconnecting

    def open(self, done: Callable[[str | None], None] | None = None) -> None:
        """Open a session, unless there is one; `done` gets None or the error."""
        if self.state != "closed":
            return
        self.engine = Engine(self._tab, self)
        self.state = "opening"
        self._skips = False
        self._done = done
        self._timer = self._tab.timer(self._options.timeout_s, self._timed_out, self.engine)

    def write(self, text: str) -> None:
        """Send a packet of the socket."""
        assert self.engine is not None
        self.engine.write(text)

    def close(self) -> None:
        """Close, and don't come back."""
        self._skips = True
        self._is_reconnecting = False
        self._closed("forced close")

    def stop(self) -> None:
        """Give up: the tab is closed."""
        self._cleanup()
        if self.engine is not None:
            self.engine.stop()

    # -- the engine's

    def engine_open(self) -> None:
        if self.state != "opening":
            return
        engine = self.engine
        self._cleanup()
        self.state = "open"
        assert engine is not None
        engine.listener = self
        if self._listener.is_active:
            self._listener.manager_open()
        if self._done is not None:
            self._done(None)

    def engine_data(self, text: str) -> None:
        if self.state != "open":
            return
        try:
            packet = decode(text)
        except ValueError:
            self._closed("parse error")
            return
        self._tab.tick(lambda: self._give(packet))

    def engine_error(self, message: str) -> None:
        if self.state == "opening":
            self._failed(message)
        elif self.state == "open" and self._listener.is_active:
            self._listener.manager_error(message, None)

    def engine_close(self, reason: str) -> None:
        # Before the session is open, the library listens to errors alone.
        if self.state == "open":
            self._closed(reason)

    def engine_upgrade(self) -> None:
        self._listener.manager_upgrade()

    # -- inside

    def _give(self, packet: Packet) -> None:
        if self._listener.is_active:
            self._listener.manager_packet(packet)

    def _timed_out(self, engine: Engine) -> None:
        self._failed("timeout")
        engine.close()

    def _failed(self, message: str) -> None:
        self._cleanup()
        self.state = "closed"
        if self._listener.is_active:
            self._listener.manager_error(message, None)
        if self._done is not None:
            self._done(message)
        elif not self._is_reconnecting and self._options.reconnection and not self._backoff.attempts:
            self._reconnect()

    def _closed(self, reason: str) -> None:
        self._cleanup()
        if self.engine is not None:
            self.engine.close()
        self._backoff.reset()
        self.state = "closed"
        if self._listener.is_active:
            self._listener.manager_close(reason)
        if self._options.reconnection and not self._skips:
            self._reconnect()

    def _cleanup(self) -> None:
        """Remove all subscriptions: those to the engine, and the timer."""
        if self.engine is not None:
            self.engine.listener = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _reconnect(self) -> None:
        if self._is_reconnecting or self._skips:
            return
        if self._backoff.attempts >= self._options.reconnection_attempts:
            self._backoff.reset()
            self._listener.manager_gave_up()
            return
        pause_ms = self._backoff.duration()
        self._is_reconnecting = True
        self._timer = self._tab.timer(pause_ms / 1000, self._attempt)

    def _attempt(self) -> None:
        if self._skips:
            return
        self._listener.manager_attempt(self._backoff.attempts)
        if not self._skips:
            self.open(self._attempted)

    def _attempted(self, error: str | None) -> None:
        self._is_reconnecting = False
        if error is None:
            self._backoff.reset()
        else:
            self._reconnect()
