"""The wheel on asyncio: one loop timer, however many deadlines there are."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Final

from gateway.engine.wheel import UNSET, Timer, Wheel

# A timer that the loop rounds down must not spin.
_MIN_DELAY_S: Final = 0.001
# A process that stood still for this long reads its sockets first: the pongs may all be there.
_STALL_S: Final = 0.5


class Call:
    """A callback with a deadline of its own; `cancel` may be called at any time."""

    __slots__ = ("_callback", "_timers", "slot")

    def __init__(self, timers: "Timers", callback: Callable[[], object]) -> None:
        self.slot = UNSET
        self._timers: Timers | None = timers
        self._callback: Callable[[], object] | None = callback

    def fire(self, now: float) -> None:
        """Call back, once."""
        callback, self._callback, self._timers = self._callback, None, None
        if callback is not None:
            callback()

    def cancel(self) -> None:
        """Never call back; release the callback at once."""
        timers, self._timers, self._callback = self._timers, None, None
        if timers is not None:
            timers.drop(self)


class Timers:
    """Deadlines of one server, by the seconds of `clock`.

    `failed` hears of an exception that a timer raised: one bad callback must not stop the heartbeats of all.
    """

    __slots__ = ("_armed_at", "_clock", "_context", "_failed", "_handle", "_tick", "_wheel")

    def __init__(self, tick_s: float, clock: Callable[[], float], failed: Callable[[BaseException], None]) -> None:
        self._wheel = Wheel(tick_s)
        self._tick = tick_s
        self._clock = clock
        self._failed = failed
        self._handle: asyncio.TimerHandle | None = None
        self._armed_at = 0.0
        # The loop would copy the context of whoever armed the timer, and with it a request.
        self._context = Context()

    def now(self) -> float:
        """Return the time by which deadlines are given."""
        return self._clock()

    def put(self, timer: Timer, when: float) -> None:
        """Set the timer's deadline, in place of the one that it had."""
        self._wheel.put(timer, when)
        self._arm()

    def drop(self, timer: Timer) -> None:
        """Forget the timer's deadline, if it has one."""
        self._wheel.drop(timer)

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Call:
        """Call `callback` after `delay_s` seconds, not earlier, and at most a tick later."""
        call = Call(self, callback)
        self.put(call, self._clock() + delay_s + self._tick)
        return call

    def stop(self) -> None:
        """Let go of the loop; deadlines stay and count on with the next `put`."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def __len__(self) -> int:
        return len(self._wheel)

    def _arm(self) -> None:
        when = self._wheel.next_at()
        if when is None or (self._handle is not None and self._armed_at <= when):
            return
        self.stop()
        delay = max(when - self._clock(), _MIN_DELAY_S)
        self._armed_at = when
        self._handle = asyncio.get_running_loop().call_later(delay, self._turn, context=self._context)

    def _turn(self, *, stalled: bool = False) -> None:
        now = self._clock()
        if now - self._armed_at > _STALL_S and not stalled:
            after_io = partial(self._turn, stalled=True)
            self._handle = asyncio.get_running_loop().call_later(_MIN_DELAY_S, after_io, context=self._context)
            return
        self._handle = None
        for timer in self._wheel.due(now):
            try:
                timer.fire(now)
            except Exception as error:  # noqa: BLE001
                self._failed(error)
        self._arm()
