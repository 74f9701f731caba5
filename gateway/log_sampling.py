"""A rate limit for log lines that clients can cause, so that no client can fill a disk."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from typing import Any

import structlog

from gateway.core.bucket import Rate

# The limit of each event name that only misuse or a bug causes.
RARE = Rate(1.0, 20)
# The limits of each event name that normal users cause, for one user and for all together. Four such names with
# 250 bytes a line are at most 9 MB a day for one user, and 0.9 GB for all.
ONE_USER = Rate(0.1, 20)
EVERYBODY = Rate(10.0, 1000)
MAX_USERS = 10_000

left_out: Counter[str] = Counter()
"""The number of dropped lines since the start of the process, by name; for the metrics."""


class _Buckets:
    """Buckets of one rate by key; with more than `most` keys, the least recently used one is dropped."""

    def __init__(self, rate: Rate, most: int) -> None:
        self._rate = rate
        self._most = most
        self._full_at: OrderedDict[Any, float] = OrderedDict()

    def allows(self, key: Any, now: float) -> bool:
        """Take a token if there is one; return whether there was."""
        full_at = self._rate.spend(self._full_at.get(key, 0.0), now)
        if self._rate.wait_s(full_at, now) > 0:
            return False
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
        return True


class Sampler:
    """A structlog processor that limits the rate of lines.

    For each name in `rare` a burst of lines passes, then one a second. For each name in `usual` there is a slower
    limit for each user, and one for all users together. The field `left_out` of the next line that passes is the
    number of lines of that name that were dropped.
    """

    def __init__(
        self,
        rare: Collection[str],
        usual: Collection[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._usual = frozenset(usual)
        self._left_out = dict.fromkeys((*rare, *usual), 0)
        self._rare = _Buckets(RARE, len(rare))
        self._everybody = _Buckets(EVERYBODY, len(usual))
        self._users = _Buckets(ONE_USER, MAX_USERS)

    def __call__(self, logger: Any, method: str, line: dict[str, Any]) -> dict[str, Any]:
        """Return the line, or raise `DropEvent` if too many of its kind were written lately."""
        name = line["event"]
        missing = self._left_out.get(name)
        if missing is None:
            return line
        if not self._passes(name, line):
            self._left_out[name] += 1
            left_out[name] += 1
            raise structlog.DropEvent
        if missing:
            line["left_out"], self._left_out[name] = missing, 0
        return line

    def _passes(self, name: str, line: dict[str, Any]) -> bool:
        now = self._clock()
        if name not in self._usual:
            return self._rare.allows(name, now)
        user = (name, line.get("tenant"), line.get("user"))
        return self._users.allows(user, now) and self._everybody.allows(name, now)
