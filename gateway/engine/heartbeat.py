"""The heartbeat of one session: a ping in each interval, and the end of a session that does not answer in time."""

from collections.abc import Callable
from typing import Protocol

from gateway.core.frames import Frame
from gateway.engine.control_frames import PING
from gateway.engine.options import EngineOptions
from gateway.engine.rate_limit import RateContext, RateLimited
from gateway.engine.timers import Timers
from gateway.engine.wheel import UNSET


class HeartbeatContext(RateContext, Protocol):
    """Port: the part of `EngineContext` that a heartbeat needs."""

    options: EngineOptions
    timers: Timers


class Heartbeat(RateLimited):
    """A session with a heartbeat; it is a timer of `Timers`. A base class, so that a socket stays one object."""

    __slots__ = ("_awaiting_pong", "_pinged_at", "context", "send_frame", "slot")

    context: HeartbeatContext

    def __init__(self, context: HeartbeatContext, send_frame: Callable[[Frame], None]) -> None:
        super().__init__()
        self.context = context
        self.send_frame = send_frame
        self.slot = UNSET
        self._awaiting_pong = False
        self._pinged_at = 0.0

    @property
    def full(self) -> bool:
        """Return whether the client's messages stay unread at the moment."""
        raise NotImplementedError

    def _timed_out(self) -> None:
        """End the session: the client did not answer a ping."""
        raise NotImplementedError

    def _start_heartbeat(self) -> None:
        self._pinged_at = self.context.timers.now()
        self._schedule_ping()

    def _ponged(self) -> None:
        """Note a pong; one that answers no ping changes nothing."""
        if self._awaiting_pong:
            self._awaiting_pong = False
            self._schedule_ping()

    def _schedule_ping(self) -> None:
        self.context.timers.put(self, self._pinged_at + self.context.options.ping_interval_s)

    def fire(self, now: float) -> None:
        """Send a ping, or end the session if the last ping was not answered."""
        options = self.context.options
        if self._awaiting_pong and self.full:
            # We have stopped reading, so the pong may wait in the kernel.
            self.context.timers.put(self, now + options.ping_timeout_s)
            return
        if self._awaiting_pong:
            self._timed_out()
            return
        self._awaiting_pong = True
        # Intervals count from the time when the ping was due, so that a slow loop does not lengthen them.
        self._pinged_at = max(self._pinged_at + options.ping_interval_s, now)
        self.context.timers.put(self, self._pinged_at + options.ping_timeout_s)
        self.send_frame(PING)
