"""Sorted sets: members in the order of their scores, and of their bytes where scores are equal."""

from __future__ import annotations

from bisect import bisect_left, insort
from math import inf, nextafter

from tests.simulation.redis.replies import Refused

NOT_A_FLOAT = b"ERR value is not a valid float"
NOT_A_BOUND = b"ERR min or max is not a float"


class SortedSet:
    """One sorted set."""

    __slots__ = ("order", "scores")

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}
        self.order: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self.order)

    def copy(self) -> SortedSet:
        """Return a copy."""
        found = SortedSet()
        found.scores, found.order = dict(self.scores), list(self.order)
        return found

    def put(self, member: bytes, score: float) -> None:
        """Add a member, or give it another score."""
        known = self.scores.get(member)
        if known is not None:
            if known == score:
                return
            del self.order[bisect_left(self.order, (known, member))]
        self.scores[member] = score
        insort(self.order, (score, member))

    def remove(self, member: bytes) -> bool:
        """Remove a member; return whether there was one."""
        score = self.scores.pop(member, None)
        if score is None:
            return False
        del self.order[bisect_left(self.order, (score, member))]
        return True

    def cut(self, start: int, end: int) -> int:
        """Remove the members at the indexes from `start` up to before `end`; return their number."""
        gone = self.order[start:end]
        del self.order[start:end]
        for _, member in gone:
            del self.scores[member]
        return len(gone)

    def indexes(self, first: int, last: int) -> tuple[int, int]:
        """Return where a range of ranks begins and ends; negative ranks count from the end, as in Redis."""
        size = len(self.order)
        start = max(first + size, 0) if first < 0 else first
        end = min(last + size if last < 0 else last, size - 1)
        return (start, end + 1) if start <= end else (0, 0)

    def between(self, low: bytes, high: bytes) -> tuple[int, int]:
        """Return where a range of scores begins and ends; the bounds are written as in Redis."""
        (least, above), (most, below) = bound(low), bound(high)
        start = self._after(least) if above else bisect_left(self.order, (least,))
        end = bisect_left(self.order, (most,)) if below else self._after(most)
        return start, max(start, end)

    def _after(self, score: float) -> int:
        return len(self.order) if score == inf else bisect_left(self.order, (nextafter(score, inf),))


def number(text: bytes, refusal: bytes = NOT_A_FLOAT) -> float:
    """Return a score; raise `Refused` for anything but a number."""
    try:
        value = float(text)
    except ValueError:
        raise Refused(refusal) from None
    if value != value or b"_" in text or text.strip() != text:
        raise Refused(refusal)
    return value


def bound(text: bytes) -> tuple[float, bool]:
    """Return a bound of a range of scores, and whether it is excluded."""
    if text[:1] == b"(":
        return number(text[1:] or b"0", NOT_A_BOUND), True
    return number(text or b"0", NOT_A_BOUND), False
