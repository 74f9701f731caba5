"""The world: one clock, one queue of what happens next, and the processes to which it happens."""

from __future__ import annotations

import random
import zlib
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol

from tests.simulation import system


class Runnable(Protocol):
    """A process, as far as the world has to know it."""

    def turn(self) -> None:
        """Run what is ready."""


class Trace:
    """What happened, as a checksum; the lines themselves only if `kept`."""

    def __init__(self, *, kept: bool = False) -> None:
        self.checksum = 0
        self.lines: list[str] | None = [] if kept else None

    def note(self, now: float, what: str) -> None:
        line = f"{now:.6f} {what}"
        self.checksum = zlib.crc32(line.encode(), self.checksum)
        if self.lines is not None:
            self.lines.append(line)


class World:
    """One simulation. Everything in it that is left to chance is drawn from `random`."""

    name = "world"

    def __init__(self, seed: int, *, trace: Trace) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.trace = trace
        self.complaints: list[str] = []
        """What must never happen, whatever the faults: unhandled exceptions, and logged tracebacks."""
        self.turns = 0
        self._queue: list[tuple[float, float, int, Callable[[], Any]]] = []
        self._number = 0
        self._runnable: deque[Runnable] = deque()

    # -- the clock of what belongs to no process

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return system.EPOCH + self.now

    def draw(self, size: int) -> bytes:
        return self.random.randbytes(size)

    # -- what happens

    def at(self, when: float, happening: Callable[[], Any]) -> None:
        """Have something happen then; of what falls on the same moment chance decides what comes first."""
        self._number += 1
        heappush(self._queue, (when, self.random.random(), self._number, happening))

    def after(self, seconds: float, happening: Callable[[], Any]) -> None:
        """Have something happen in so many seconds."""
        self.at(self.now + seconds, happening)

    def waiting(self) -> list[Callable[[], Any]]:
        """Return what has yet to happen."""
        return [happening for *_, happening in self._queue]

    def wake(self, process: Runnable) -> None:
        """Give a process its turn, behind those that wait for theirs."""
        self._runnable.append(process)

    def run(self, until: float, stop: Callable[[], bool] | None = None) -> None:
        """Let everything happen up to a moment, or until `stop`."""
        queue, runnable = self._queue, self._runnable
        while True:
            while runnable:
                self.turns += 1
                runnable.popleft().turn()
            if stop is not None and stop():
                return
            if not queue or queue[0][0] > until:
                self.now = max(self.now, until)
                return
            when, _, _, happening = heappop(queue)
            if when > self.now:
                self.now = when
            happening()
