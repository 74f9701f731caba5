"""The rate limit of the messages that a client sends in a session."""

from collections.abc import Callable
from typing import Final, Protocol

from gateway.core.bucket import Rate
from gateway.engine.stats import EngineStats

# A message counts once more for each of these, because its cost grows with its size.
_CHARGE_BYTES: Final = 1 << 14


class RateContext(Protocol):
    """Port: the part of `EngineContext` that a rate limit needs."""

    rate: Rate | None
    clock: Callable[[], float]
    stats: EngineStats


class RateLimited:
    """The token bucket of a session, as a base class: no timer, and no object of its own.

    `over` is true while a message above the limit is handled. The cost of an answer is taken from the same bucket
    by `spend`, which may overdraw it: the session is over the limit until the bucket has recovered.
    """

    __slots__ = ("_full_at", "_owed_s", "over")

    context: RateContext
    closed: bool

    def __init__(self) -> None:
        self._full_at = 0.0
        self._owed_s = 0.0
        """Seconds of the overdraft that `spend` may have caused: only messages can close a session."""
        self.over = False

    def charge(self, size: int = 0) -> bool:
        """Count a message of `size` bytes; close the session above twice the burst.

        A message counts once for each started 16 KiB. Return whether the session stays open.
        """
        context = self.context
        rate = context.rate
        if rate is None:
            return True
        # `Rate.spend` and `wait_s`, inlined: 0.2 instead of 0.4 µs for every message.
        now, full_at = context.clock(), self._full_at
        tokens = 1 if size < _CHARGE_BYTES else min(size // _CHARGE_BYTES + 1, rate.burst)
        self._full_at = full_at = (full_at if full_at > now else now) + tokens * rate.interval_s
        wait_s = full_at - now - rate.span_s
        self.over = wait_s > 0
        if not self.over:
            return True
        context.stats.limited["events_per_s"] += 1
        if wait_s > rate.span_s + self._owed_s and not self.closed:
            context.stats.limited["events_burst"] += 1
            self._flooded()
        return not self.closed

    def spend(self, tokens: float) -> None:
        """Take the cost of an answer from the bucket, at most one burst; may overdraw it, never closes."""
        rate = self.context.rate
        if rate is None:
            return
        now = self.context.clock()
        tokens = min(tokens, rate.burst)
        self._full_at = rate.spend(self._full_at, now, tokens)
        self._owed_s = min(self._owed_s + tokens * rate.interval_s, self._full_at - now)

    @property
    def wait_s(self) -> float:
        """Return the seconds until one more message is within the limit; 0 or less if it is now."""
        rate, now = self.context.rate, self.context.clock()
        return 0.0 if rate is None else rate.wait_s(rate.spend(self._full_at, now), now)

    def _flooded(self) -> None:
        """Close the session, because its client sends far more than it may."""
        raise NotImplementedError
