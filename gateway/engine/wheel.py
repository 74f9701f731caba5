"""One wheel of deadlines for all sockets. Pure: time is a parameter, nothing sleeps."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

UNSET: Final = -1

# A dict keeps the size that it once had. A bucket larger than this is packed: twice what a full one takes.
_BUCKET_BYTES: Final = 512
_TIMER_BYTES: Final = 256
# Ticks that were left and are looked up no more.
_MAX_LEFT: Final = 64


class Timer(Protocol):
    """Something with one deadline. `slot` belongs to the wheel and starts as `UNSET`."""

    slot: int

    def fire(self, now: float) -> None:
        """Do what was due; `now` is at most one tick before the deadline asked for."""


class Wheel:
    """Deadlines rounded down to a tick, kept by tick.

    A timer comes due less than one tick early and never late by the wheel's own doing. It costs a dict entry
    and no object of its own; taking it out leaves nothing behind, however far its deadline is. Timers of one
    tick come in the order in which they were put.
    """

    __slots__ = ("_buckets", "_order", "_tick")

    def __init__(self, tick_s: float) -> None:
        self._tick = tick_s
        self._buckets: dict[int, dict[Timer, None]] = {}
        self._order: list[int] = []

    def put(self, timer: Timer, when: float) -> None:
        """Set the timer's deadline, in place of the one that it had."""
        self.drop(timer)
        slot = max(int(when / self._tick), 0)
        bucket = self._buckets.get(slot)
        if bucket is None:
            bucket = self._buckets[slot] = {}
            heappush(self._order, slot)
        bucket[timer] = None
        timer.slot = slot

    def drop(self, timer: Timer) -> None:
        """Forget the timer's deadline, if it has one."""
        slot, timer.slot = timer.slot, UNSET
        bucket = self._buckets.get(slot)
        if bucket is None:
            return
        bucket.pop(timer, None)
        if not bucket:
            del self._buckets[slot]
            self._forget_left()
        elif bucket.__sizeof__() > _BUCKET_BYTES + _TIMER_BYTES * len(bucket):
            self._buckets[slot] = dict(bucket)

    def next_at(self) -> float | None:
        """Return when to come back, or None while there is nothing to wait for."""
        while self._order and self._order[0] not in self._buckets:
            heappop(self._order)
        return self._order[0] * self._tick if self._order else None

    def due(self, now: float) -> Iterator[Timer]:
        """Take out and yield the timers whose tick has come.

        One that is dropped or put anew while this runs is left out, so that a timer may touch others.
        """
        ready: list[tuple[int, dict[Timer, None]]] = []
        while self._order and self._order[0] * self._tick <= now:
            slot = heappop(self._order)
            ready.append((slot, self._buckets.pop(slot, {})))
        for slot, bucket in ready:
            for timer in bucket:
                if timer.slot == slot:
                    timer.slot = UNSET
                    yield timer

    def _forget_left(self) -> None:
        """Take the ticks without timers out of the order, once they are more than those with some."""
        if len(self._order) > 2 * len(self._buckets) + _MAX_LEFT:
            self._order = [*self._buckets]
            heapify(self._order)

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())
