"""Redis' clock. An event's seq is made from Redis' time, so only that clock tells the age of an event.

Redis reads its clock between our question and its answer. The middle of that time is the best guess, with an error
of at most half the round trip. Of the last few answers the fastest one counts, as in NTP: an answer that a busy
loop handled late does not shift the clock. The result is an offset to our monotonic clock, so setting the time of
this machine changes no age.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

# Number of answers that are compared: with one every 2 s, drift shows within half a minute.
KEPT = 16


class Answer(NamedTuple):
    """One answer to the question for Redis' time, in seconds."""

    error_s: float
    """Half of the round trip."""
    offset_s: float
    """Redis' Unix time minus our monotonic time."""


class ServerClock:
    """Redis' clock; `monotonic` returns our own monotonic time in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.offset_s: float | None = None
        """Redis' Unix time minus our monotonic time; None before the first answer."""
        self.error_s = 0.0
        """Largest possible error of `offset_s`, in seconds."""
        self._answers: deque[Answer] = deque(maxlen=KEPT)

    def learn(self, asked_at: float, heard_at: float, server_us: int) -> None:
        """Note an answer: Redis' time in µs, and our times of the question and the answer in seconds."""
        half = (heard_at - asked_at) / 2
        self._answers.append(Answer(half, server_us * 1e-6 - asked_at - half))
        self.error_s, self.offset_s = min(self._answers)

    def reset(self) -> None:
        """Forget earlier answers, which may be another server's; `offset_s` stays until the next answer."""
        self._answers.clear()

    def age_s(self, seq: int) -> float | None:
        """Return the age of an event in seconds, from its seq; None before the first answer."""
        return None if self.offset_s is None else self.monotonic() + self.offset_s - seq * 1e-6
