"""What a client has received: kept in order, and waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.waiting import PATIENCE_S


@dataclass(slots=True)
class Received:
    """One event as it came: `args` has its offset, too, if it had one."""

    name: str
    args: list[Any]
    at: float = field(default_factory=time.monotonic)

    @property
    def data(self) -> Any:
        """The first argument."""
        return self.args[0] if self.args else None

    @property
    def offset(self) -> str | None:
        """The last argument, if it is a string."""
        return self.args[-1] if self.args and isinstance(self.args[-1], str) else None


Matching = Callable[[Received], bool]


class Inbox:
    """The events of one client, `events`, oldest first."""

    def __init__(self) -> None:
        self.events: list[Received] = []
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def put(self, received: Received) -> None:
        """Add an event, and wake those who waited for it."""
        self.events.append(received)
        for is_met, waiter in self._waiting:
            if not waiter.done() and is_met():
                waiter.set_result(None)

    def named(self, name: str, where: Matching | None = None) -> list[Received]:
        """Return the events of one name so far."""
        return [event for event in self.events if event.name == name and (where is None or where(event))]

    async def wait_for(
        self, name: str, where: Matching | None = None, *, count: int = 1, within_s: float = PATIENCE_S
    ) -> Received:
        """Wait until `count` such events have come, also those that came before; return the last of them."""

        def is_met() -> bool:
            return len(self.named(name, where)) >= count

        if not is_met():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((is_met, waiter))
            try:
                async with asyncio.timeout(within_s):
                    await waiter
            except TimeoutError:
                seen = [(event.name, event.args) for event in self.events[-10:]]
                why = f"waited {within_s:g} s in vain for {count} {name}; last came {seen}"
                raise AssertionError(why) from None
            finally:
                self._waiting.remove((is_met, waiter))
        return self.named(name, where)[count - 1]
