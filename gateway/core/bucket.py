"""Token buckets. Pure: time is a parameter, and nothing runs while nothing is taken."""

from __future__ import annotations


class Rate:
    """So many a second for as long as one likes, and `burst` of them at once.

    The state of one bucket is one number that its owner keeps, which is what makes a bucket for each socket
    affordable: `full_at`, the time at which it will be full again; 0.0 for one that is full.
    """

    __slots__ = ("burst", "interval_s", "span_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self.burst = burst
        self.interval_s = 1 / per_s
        # A hundredth of a token more, for what rounding takes.
        self.span_s = (burst + 0.01) * self.interval_s

    def spend(self, full_at: float, now: float, tokens: float = 1) -> float:
        """Take tokens, also ones that are not there, and give the new `full_at`."""
        return (full_at if full_at > now else now) + tokens * self.interval_s

    def wait_s(self, full_at: float, now: float) -> float:
        """Return how long it takes until no more was taken than there was; above 0 means too much."""
        return full_at - now - self.span_s
