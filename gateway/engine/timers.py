"""The wheel on asyncio: one timer of the loop serves all deadlines."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Final

from gateway.engine.wheel import UNSET, Timer, Wheel

# Least delay: the loop may round it down, and a delay of 0 would make it spin.
_MIN_DELAY_S: Final = 0.001
# After a stall of this length the sockets are read before timers fire: pongs may have arrived.
_STALL_S: Final = 0.5


class Call:
    """A callback with a deadline; `cancel` may be called at any time."""

    __slots__ = ("_callback", "_timers", "slot")

    def __init__(self, timers: "Timers", callback: Callable[[], object]) -> None:
        self.slot = UNSET
        self._timers: Timers | None = timers
        self._callback: Callable[[], object] | None = callback

    def fire(self, now: float) -> None:
        """Call the callback; a second time does nothing."""
        callback, self._callback, self._timers = self._callback, None, None
        if callback is not None:
            callback()

    def cancel(self) -> None:
        """Cancel the call and drop the reference to its callback."""
        timers, self._timers, self._callback = self._timers, None, None
        if timers is not None:
            timers.drop(self)


class Timers:
    """The deadlines of one server, in seconds of `clock`.

    `failed` gets the exception of a timer, so that one bad callback does not stop the heartbeats of all sockets.
    """

    __slots__ = ("_armed_at", "_clock", "_context", "_failed", "_handle", "_tick", "_wheel")

    def __init__(self, tick_s: float, clock: Callable[[], float], failed: Callable[[BaseException], None]) -> None:
        self._wheel = Wheel(tick_s)
        self._tick = tick_s
        self._clock = clock
        self._failed = failed
        self._handle: asyncio.TimerHandle | None = None
        self._armed_at = 0.0
        # An empty context: by default the timer would copy the caller's, and keep a request alive.
        self._context = Context()

    def now(self) -> float:
        """Return the present time of `clock`, in seconds."""
        return self._clock()

    def put(self, timer: Timer, when: float) -> None:
        """Set the timer's deadline, in place of the deadline that it had, if any."""
        self._wheel.put(timer, when)
        self._arm()

    def drop(self, timer: Timer) -> None:
        """Remove the timer's deadline, if it has one."""
        self._wheel.drop(timer)

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Call:
        """Call `callback` after `delay_s` seconds, at most a tick later, never earlier."""
        call = Call(self, callback)
        self.put(call, self._clock() + delay_s + self._tick)
        return call

    def stop(self) -> None:
        """Cancel the loop's timer; the deadlines stay, and the next `put` starts it again."""
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
