"""Long work on the loop in slices, so that other callbacks run between them."""

from __future__ import annotations

import asyncio
from typing import Final

# Steps of some 3 µs each, for example to read one event of a history.
SLICE: Final = 50


class Slices:
    """Counts the steps of one piece of work; `await did(n)` lets other callbacks run after each slice."""

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps = 0

    async def did(self, steps: int = 1) -> None:
        """Count finished steps; yield to the loop after each slice."""
        self._steps += steps
        if self._steps >= SLICE:
            self._steps = 0
            await asyncio.sleep(0)
