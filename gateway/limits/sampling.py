"""Thinning out log lines that strangers can cause, so that nobody fills a disk by being refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

import structlog

from gateway.limits.bucket import Rate

PER_S = 1.0
BURST = 20


class Sampler:
    """A structlog processor: of each name in `names` a burst of lines passes, then one a second.

    The next line that passes says in `left_out` how many did not.
    """

    def __init__(self, names: Collection[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = Rate(PER_S, BURST)
        self._clock = clock
        self._full_at = dict.fromkeys(names, 0.0)
        self._left_out = dict.fromkeys(names, 0)

    def __call__(self, logger: Any, method: str, line: dict[str, Any]) -> dict[str, Any]:
        """Let a line pass or raise `DropEvent`."""
        name = line["event"]
        if name not in self._full_at:
            return line
        now = self._clock()
        full_at = self._rate.spend(self._full_at[name], now)
        if self._rate.wait_s(full_at, now) > 0:
            self._left_out[name] += 1
            raise structlog.DropEvent
        self._full_at[name] = full_at
        if self._left_out[name]:
            line["left_out"], self._left_out[name] = self._left_out[name], 0
        return line
