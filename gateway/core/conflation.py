"""Conflation: of events that only count in their latest state a socket gets a few a second, and always the last.

Such an event carries a key. Who was just given one is *paced*: for the rest of that fraction of a second the
next ones wait in its cork, of each key only the latest. Any other event takes along what waits, ahead of itself,
so that the order stays that of publishing and a client's offset never passes something that it has yet to get;
what waits for a socket that drops is in the log, behind its offset. The pace is the member's, not the key's: no
memory of keys is needed, and who watches ten campaigns is written to as often as who watches one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Key = bytes | tuple[object, bytes] | None


class Paced(Protocol):
    """A receiver that is paced: a member."""

    cork: list[Any] | None
    pace: object | None

    def flush(self) -> bool:
        """Send what waits; False when there is nothing."""


def latest(run: Sequence[T], key: Callable[[T], Key]) -> list[T]:
    """Leave out of a run, oldest first, what a later one of its key takes the place of; a false key is none."""
    seen: set[Key] = set()
    left = []
    for item in reversed(run):
        found = key(item)
        if found:
            if found in seen:
                continue
            seen.add(found)
        left.append(item)
    left.reverse()
    return left


class Pacer:
    """Lets go of what waits in paced members, `per_s` times a second.

    `call_later(seconds, callback)` is the clock. Those who were given an event together wait together: a room of
    five hundred costs one timer.
    """

    def __init__(self, per_s: float, call_later: Callable[[float, Callable[[], object]], object]) -> None:
        self._pause_s = 1 / per_s
        self._call_later = call_later

    def pace(self, members: Iterable[Paced]) -> None:
        """Pace those of the members that were just given a conflated event, and are not corked."""
        fresh = [member for member in members if member.cork is None]
        if not fresh:
            return
        pace = object()
        for member in fresh:
            member.cork, member.pace = [], pace
        self._call_later(self._pause_s, lambda: self._go_on(fresh, pace))

    def _go_on(self, members: list[Paced], pace: object) -> None:
        """Send what waits; who had nothing to wait for is free again."""
        busy = []
        for member in members:
            if member.pace is pace:
                if member.flush():
                    busy.append(member)
                else:
                    member.cork = member.pace = None
        if busy:
            self._call_later(self._pause_s, lambda: self._go_on(busy, pace))
