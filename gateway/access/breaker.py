"""The circuit breaker: whoever does not answer is left alone for a while."""

from __future__ import annotations

# So many failures in a row, and it counts as away; then one question in so many seconds finds out.
FAILURES = 5
PAUSE_S = 3.0


class Breaker:
    """Decides whether a question is worth asking. `now` is any clock in seconds that only goes on."""

    def __init__(self, *, failures: int = FAILURES, pause_s: float = PAUSE_S) -> None:
        self._most = failures
        self._pause_s = pause_s
        self._failures = 0
        self._opened_at: float | None = None
        self._retry_at = 0.0

    @property
    def is_open(self) -> bool:
        """Return whether the breaker is open: nearly nothing is asked at the moment."""
        return self._opened_at is not None

    def rests(self, now: float) -> bool:
        """Return whether to ask nothing now; while it is open, one question in each pause is a trial."""
        return self._opened_at is not None and now < self._retry_at

    def begin(self, now: float) -> None:
        """Note that a question is asked: while it is open that is the trial, and the others wait for the next."""
        self._retry_at = now + self._pause_s

    def failed(self, now: float) -> bool:
        """Note that there was no answer; True when that opens it."""
        self._failures += 1
        if self._opened_at is not None or self._failures < self._most:
            return False
        self._opened_at = now
        self._retry_at = now + self._pause_s
        return True

    def succeeded(self, now: float) -> float | None:
        """Note that there was an answer; return for how long it was open when that closes it."""
        self._failures = 0
        opened_at, self._opened_at = self._opened_at, None
        return None if opened_at is None else now - opened_at
