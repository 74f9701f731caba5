"""A timer wheel for the deadlines of all sockets. Pure: time is a parameter."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

UNSET: Final = -1

# A dict never shrinks. A bucket of about twice the size that its timers need is copied into a new dict.
_BUCKET_BYTES: Final = 512
_TIMER_BYTES: Final = 256
# Most ticks without timers that may stay in the order.
_MAX_LEFT: Final = 64


class Timer(Protocol):
    """An object with one deadline. `slot` belongs to the wheel and starts as `UNSET`."""

    slot: int

    def fire(self, now: float) -> None:
        """Act on the deadline; `now` is less than one tick before it, or later."""


class Wheel:
    """Timers in buckets by their deadline, rounded down to a tick.

    A timer is due less than one tick early, and never late because of the wheel. It costs one dict entry. After
    `drop` nothing of it is left, however far its deadline was. Timers of one tick fire in the order of `put`.
    """

    __slots__ = ("_buckets", "_order", "_tick")

    def __init__(self, tick_s: float) -> None:
        self._tick = tick_s
        self._buckets: dict[int, dict[Timer, None]] = {}
        self._order: list[int] = []

    def put(self, timer: Timer, when: float) -> None:
        """Set the timer's deadline; an earlier one is replaced."""
        self.drop(timer)
        slot = max(int(when / self._tick), 0)
        bucket = self._buckets.get(slot)
        if bucket is None:
            bucket = self._buckets[slot] = {}
            heappush(self._order, slot)
        bucket[timer] = None
        timer.slot = slot

    def drop(self, timer: Timer) -> None:
        """Remove the timer's deadline, if it has one."""
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
        """Return the time of the next tick with timers, or None without timers."""
        while self._order and self._order[0] not in self._buckets:
            heappop(self._order)
        return self._order[0] * self._tick if self._order else None

    def due(self, now: float) -> Iterator[Timer]:
        """Remove and yield the timers whose tick has come; skip those that are dropped or put again meanwhile."""
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
        """Remove ticks without timers from the order when they are more than the ticks with timers."""
        if len(self._order) > 2 * len(self._buckets) + _MAX_LEFT:
            self._order = [*self._buckets]
            heapify(self._order)

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())
