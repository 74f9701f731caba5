"""The rate limit of a session: messages that it sends, against those that it may send."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.engine.context import EngineContext

# A message counts once more for each of these, as what it costs us grows with its size.
_CHARGE_BYTES: Final = 1 << 14


class RateLimited:
    """A session's token bucket, whose state is one number; it takes no timer, and no object of its own.

    `over` is true while a message is handled that is more than the session may send. What an answer costs is taken
    from the same bucket afterwards, by `spend`, and may leave it in debt: the session is over until that is paid.
    """

    __slots__ = ("_full_at", "_owed_s", "over")

    context: "EngineContext"
    closed: bool

    def __init__(self) -> None:
        self._full_at = 0.0
        self._owed_s = 0.0
        """What is left of `spend` in the bucket's time, at the most: only messages count as going on."""
        self.over = False

    def charge(self, size: int = 0) -> bool:
        """Count a message of `size` bytes, also one that nobody handles; close when it was one too many.

        A large one counts several times, once for each 16 KiB that it begins. Return whether to go on.
        """
        context = self.context
        rate = context.rate
        if rate is None:
            return True
        # `Rate.spend` and `wait_s` by hand: 0.2 µs for every message, where calling them takes 0.4.
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
        """Take what an answer has cost, a whole burst at the most, whether it is there or not; never closes."""
        rate = self.context.rate
        if rate is None:
            return
        now = self.context.clock()
        tokens = min(tokens, rate.burst)
        self._full_at = rate.spend(self._full_at, now, tokens)
        self._owed_s = min(self._owed_s + tokens * rate.interval_s, self._full_at - now)

    @property
    def wait_s(self) -> float:
        """Return the seconds until one more message is within the limit; not above 0 where it is now."""
        rate, now = self.context.rate, self.context.clock()
        return 0.0 if rate is None else rate.wait_s(rate.spend(self._full_at, now), now)

    def _flooded(self) -> None:
        """Close."""
        raise NotImplementedError
