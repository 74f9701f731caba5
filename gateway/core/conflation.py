"""Conflation: if only the latest state counts, a socket gets a few events a second, and always the last one.

A conflated event has a key. After a member got one, it is *paced*: for a fraction of a second the next ones wait
in its cork, for each key only the latest. Any other event is sent together with the waiting ones, behind them. So
the order is the order of publishing, and a client's offset never passes an event that it has yet to get. If a
socket drops, its waiting events are in the log, behind its offset. The pace belongs to the member, not to a key:
so no memory of keys is needed, and a page that watches ten campaigns gets as many writes as one that watches one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Key = bytes | tuple[object, bytes] | None


class Paced(Protocol):
    """Port: a receiver that can be paced; a member."""

    cork: list[Any] | None
    pace: object | None

    def flush(self) -> bool:
        """Send the waiting frames; return False if none wait."""


def latest(run: Sequence[T], key: Callable[[T], Key]) -> list[T]:
    """Return items, oldest first, without those that a later one of their key replaces; a false key is none."""
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
    """Sends the frames that wait in paced members, `per_s` times a second.

    `call_later(seconds, callback)` is the clock. Members that got an event together wait together, so a room of
    five hundred needs one timer.
    """

    def __init__(self, per_s: float, call_later: Callable[[float, Callable[[], object]], object]) -> None:
        self._pause_s = 1 / per_s
        self._call_later = call_later

    def pace(self, members: Iterable[Paced]) -> None:
        """Pace members after a conflated event, except those that are corked already."""
        fresh = [member for member in members if member.cork is None]
        if not fresh:
            return
        pace = object()
        for member in fresh:
            member.cork, member.pace = [], pace
        self._call_later(self._pause_s, lambda: self._go_on(fresh, pace))

    def _go_on(self, members: list[Paced], pace: object) -> None:
        """Send the waiting frames, and end the pace of members that had none."""
        busy = []
        for member in members:
            if member.pace is pace:
                if member.flush():
                    busy.append(member)
                else:
                    member.cork = member.pace = None
        if busy:
            self._call_later(self._pause_s, lambda: self._go_on(busy, pace))
