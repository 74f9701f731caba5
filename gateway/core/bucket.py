"""Token buckets. Pure: the time is a parameter, and there are no timers."""

from __future__ import annotations


class Rate:
    """The rate of token buckets: `per_s` tokens a second for any time, and `burst` tokens at once.

    The state of a bucket is one number that its owner keeps, so each socket can have a bucket. The number is
    `full_at`: the time in seconds at which the bucket is full again, or 0.0 for a full one.
    """

    __slots__ = ("burst", "interval_s", "span_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self.burst = burst
        self.interval_s = 1 / per_s
        # Rounding must not refuse the last token: a bucket holds a hundredth of a token more.
        self.span_s = (burst + 0.01) * self.interval_s

    def spend(self, full_at: float, now: float, tokens: float = 1) -> float:
        """Take tokens, even if the bucket has fewer, and return the new `full_at`."""
        return (full_at if full_at > now else now) + tokens * self.interval_s

    def wait_s(self, full_at: float, now: float) -> float:
        """Return the seconds until the bucket is no longer overdrawn; a positive value means over the limit."""
        return full_at - now - self.span_s
