"""The last writes, so that a restart or a failover can lose some of them.

A write is one command or one whole script. It is kept as the commands that it ran, with the time at which it ran:
they depend on nothing else, so running them again on a copy of the earlier keys gives the same keys. Each write
beyond the number that is kept moves this copy on by one.
"""

from __future__ import annotations

from collections import deque

from tests.simulation.redis.keyspace import Keyspace
from tests.simulation.redis.scripting import Effect


class Journal:
    """The last `most` writes, and the keys as they were before."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._base = Keyspace()
        self._writes: deque[tuple[int, list[Effect]]] = deque()

    def __len__(self) -> int:
        return len(self._writes)

    def note(self, now_us: int, effects: list[Effect]) -> None:
        """Add a write."""
        self._writes.append((now_us, effects))
        if len(self._writes) > self._most:
            self._move_on()

    def rewind(self, lost: int) -> Keyspace:
        """Return the keys without the last writes, and forget these; raise `ValueError` for more than are kept."""
        if lost > min(len(self._writes), self._most):
            raise ValueError(f"{lost} writes can't be lost: only the last {len(self._writes)} are known")
        while len(self._writes) > lost:
            self._move_on()
        self._writes.clear()
        return self._base.copy()

    def forget(self) -> None:
        """Begin again without keys."""
        self._base = Keyspace()
        self._writes.clear()

    def expire_due(self, now_us: int) -> None:
        """Remove what has expired from the copy as well; the writes to come see no difference."""
        self._base.at(self._writes[0][0] if self._writes else now_us)
        self._base.expire_due()

    def _move_on(self) -> None:
        now_us, effects = self._writes.popleft()
        base = self._base
        base.at(now_us)
        for handler, args in effects:
            handler(base, args)
