"""A network whose messages can be counted, so that something happens just before the n-th of them arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.simulation.network import Network
from tests.simulation.transport import Transport
from tests.simulation.world import World

AFTER_ANOTHER_S: Final = 0.00001
"""Messages of one connection arrive at least so far apart, so that something may happen between any two."""


class SteppedNetwork(Network):
    """Calls `trouble` before each of `strikes` messages in a row, of those that count, from number `at` on."""

    def __init__(self, world: World, at: int, strikes: int, trouble: Callable[[], object]) -> None:
        super().__init__(world)
        self.counted = 0
        """Messages that counted so far."""
        self.counts: Callable[[str, str], bool] = lambda sender, receiver: False
        self._first = at
        self._last = at + strikes - 1
        self._trouble = trouble
        self.late_s: dict[Transport, float] = {}
        """Ends whose messages arrive later."""

    def arrival(self, end: Transport) -> float:
        due = max(super().arrival(end) + self.late_s.get(end, 0.0), end._last_due + AFTER_ANOTHER_S)
        if self.counts(end.process.name, end.peer.process.name):
            self.counted += 1
            if self._first <= self.counted <= self._last:
                self.world.at(due - AFTER_ANOTHER_S / 2, self._trouble)
        return due

    @property
    def has_struck(self) -> bool:
        """Whether the trouble has struck, or will do so at once."""
        return self.counted >= self._first
