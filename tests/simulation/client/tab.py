"""What a page runs in: its tasks and microtasks, its timers, its connections, its random numbers."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVarTuple

from tests.simulation.client.http import Address, Http

if TYPE_CHECKING:
    from tests.simulation.client.websocket import WebSocket

Ts = TypeVarTuple("Ts")
Balancer: TypeAlias = Callable[[], Address]
"""Returns where the next connection goes."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of socket.io-client that pages use, with its defaults; then those of browser and network."""

    transports: tuple[str, ...] = ("polling", "websocket")
    path: str = "/socket.io/"
    query: Mapping[str, str] = field(default_factory=dict)
    reconnection: bool = True
    reconnection_attempts: float = float("inf")
    reconnection_delay_ms: int = 1000
    reconnection_delay_max_ms: int = 5000
    randomization_factor: float = 0.5
    timeout_s: float = 20.0
    headers: Mapping[str, str] = field(default_factory=dict)
    sticky: bool = True
    """Whether all connections of one attempt go to one address, as behind a balancer with a cookie."""
    keep_alive: bool = True
    """Whether connections serve several requests, as a browser's do and those of the tests' Node do not."""
    resends: bool = True
    """Whether a request goes out once more if a kept connection ends before a byte of its answer, as in Chrome."""


class Tab:
    """One tab of a browser. After `close` nothing of the page runs any more."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, rng: random.Random, balancer: Balancer, options: Options
    ) -> None:
        self.loop = loop
        self.random = rng
        self.balancer = balancer
        self.options = options
        self.http = Http(self)
        self.websockets: list[WebSocket] = []
        self.is_closed = False
        self._ticks: deque[Callable[[], object]] = deque()
        self._is_running = False

    def task(self, call: Callable[[*Ts], object], *args: *Ts) -> None:
        """Run a task of the page, and the microtasks that it leaves behind, before anything else happens."""
        if self.is_closed:
            return
        if self._is_running:
            call(*args)
            return
        self._is_running = True
        try:
            call(*args)
            while self._ticks:
                self._ticks.popleft()()
        finally:
            self._is_running = False

    def tick(self, call: Callable[[], object]) -> None:
        """Run something as soon as the present task is over: `nextTick` of engine.io-client."""
        self._ticks.append(call)
        if not self._is_running and len(self._ticks) == 1:
            self.loop.call_soon(self.task, _nothing)

    def timer(self, delay_s: float, call: Callable[[*Ts], object], *args: *Ts) -> asyncio.TimerHandle:
        """Start a timer of the page."""
        return self.loop.call_later(delay_s, self.task, call, *args)

    def close(self, *, reset: bool) -> None:
        """Close the tab: with a word on each websocket, or with resets alone, as when the browser is killed."""
        self.is_closed = True
        self._ticks.clear()
        self.http.close(reset=reset)
        for websocket in list(self.websockets):
            websocket.leave(reset=reset)


def _nothing() -> None:
    pass
