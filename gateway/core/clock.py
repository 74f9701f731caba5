"""The time at Redis. An event's seq is made from it, so an event's age can be told only by that clock.

Whoever asks Redis for its time knows that the answer was made between asking and hearing it. Halfway is the best
guess, off by at most half of that. Of the last few answers the fastest one counts, which is NTP's rule: one that
a busy loop heard late does not shift the clock. It is laid on a monotonic clock of ours, so that nobody who sets
the time of this machine changes an age.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

# Answers that are compared: at one every 2 s, drift shows within half a minute.
KEPT = 16


class Answer(NamedTuple):
    """One answer, in seconds."""

    error_s: float
    """Half of the round trip."""
    offset_s: float
    """Redis' Unix time less our monotonic time."""


class ServerClock:
    """Redis' clock; `monotonic` is ours, in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.offset_s: float | None = None
        """Redis' Unix time less our monotonic time; None before the first answer."""
        self.error_s = 0.0
        """By how much it may be wrong."""
        self._answers: deque[Answer] = deque(maxlen=KEPT)

    def learn(self, asked_at: float, heard_at: float, server_us: int) -> None:
        """Take an answer: Redis' time in µs, and when by our clock it was asked for and heard."""
        half = (heard_at - asked_at) / 2
        self._answers.append(Answer(half, server_us * 1e-6 - asked_at - half))
        self.error_s, self.offset_s = min(self._answers)

    def reset(self) -> None:
        """Believe no earlier answer any more: it may have been another server's."""
        self._answers.clear()

    def age_s(self, seq: int) -> float | None:
        """Tell how long ago an event was published, from its seq, in seconds; None before the first answer."""
        return None if self.offset_s is None else self.monotonic() + self.offset_s - seq * 1e-6
