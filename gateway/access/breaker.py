"""A circuit breaker for questions to the backend."""

from __future__ import annotations

# Failures in a row that open the breaker, and the seconds between two trials while it is open.
FAILURES = 5
PAUSE_S = 3.0


class Breaker:
    """Decides whether to send a question. `now` is the time of a monotonic clock, in seconds."""

    def __init__(self, *, failures: int = FAILURES, pause_s: float = PAUSE_S) -> None:
        self._most = failures
        self._pause_s = pause_s
        self._failures = 0
        self._opened_at: float | None = None
        self._retry_at = 0.0

    @property
    def is_open(self) -> bool:
        """Return whether the breaker is open: then only trials are sent."""
        return self._opened_at is not None

    def rests(self, now: float) -> bool:
        """Return whether to send no question now; while open, one question in each pause is sent as a trial."""
        return self._opened_at is not None and now < self._retry_at

    def asked(self, now: float) -> None:
        """Note that a question is sent; while open, it is the trial of this pause."""
        self._retry_at = now + self._pause_s

    def failed(self, now: float) -> bool:
        """Note that there was no answer; return whether this opened the breaker."""
        self._failures += 1
        if self._opened_at is not None or self._failures < self._most:
            return False
        self._opened_at = now
        self._retry_at = now + self._pause_s
        return True

    def succeeded(self, now: float) -> float | None:
        """Note an answer; if this closed the breaker, return for how many seconds it was open, else None."""
        self._failures = 0
        opened_at, self._opened_at = self._opened_at, None
        return None if opened_at is None else now - opened_at
