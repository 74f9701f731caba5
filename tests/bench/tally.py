"""Counting: whether events came once and in order, and how long they took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Verdict(NamedTuple):
    """What went wrong; all zero is right."""

    lost: int = 0
    twice: int = 0
    late: int = 0


class Ledger:
    """What one socket got of one room, whose events are numbered from 1 without a hole."""

    __slots__ = ("_missing", "_twice", "late", "newest")

    def __init__(self) -> None:
        self.newest = 0
        self.late = 0
        self._twice = 0
        self._missing: set[int] = set()

    def note(self, seq: int) -> None:
        """Take down an event; one that comes after a newer one is late."""
        if seq == self.newest + 1:
            self.newest = seq
        elif seq > self.newest:
            self._missing.update(range(self.newest + 1, seq))
            self.newest = seq
        elif seq in self._missing:
            self._missing.remove(seq)
            self.late += 1
        else:
            self._twice += 1

    def is_complete(self, upto: int) -> bool:
        """Return whether everything up to `upto` came."""
        return self.newest >= upto and not self._missing

    def verdict(self, upto: int) -> Verdict:
        """Judge, when events up to `upto` have been published."""
        return Verdict(len(self._missing) + max(upto - self.newest, 0), self._twice, self.late)


def total(verdicts: Iterable[Sequence[int]]) -> Verdict:
    """Add up."""
    return Verdict(*(sum(column) for column in zip(Verdict(), *verdicts, strict=True)))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that `share` of them do not exceed (nearest rank); NaN where there are none."""
    return ordered[max(math.ceil(len(ordered) * share), 1) - 1] if ordered else math.nan
