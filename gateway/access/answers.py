"""A cache of the backend's answers."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from publisher.rooms import Room

# Some 200 bytes each.
MAX_ANSWERS = 50_000
# A user with thousands of rooms only displaces answers of their own.
MAX_PER_USER = 1_000

User = tuple[str, str]
"""A tenant and a user id."""


class _Answer(NamedTuple):
    allowed: bool
    role: str
    until: float


class Answers:
    """Answers by user and room; when full, the least recently used user is dropped with all answers."""

    def __init__(self, lifetime_s: float, *, limit: int = MAX_ANSWERS, per_user: int = MAX_PER_USER) -> None:
        self._lifetime_s = lifetime_s
        self._limit = limit
        self._per_user = per_user
        self._users: OrderedDict[User, dict[Room, _Answer]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def get(self, user: User, role: str, room: Room, now: float) -> bool | None:
        """Return the cached answer for a user with that role; None without a valid one."""
        rooms = self._users.get(user)
        answer = rooms.get(room) if rooms is not None else None
        if answer is None or answer.role != role or answer.until <= now:
            return None
        self._users.move_to_end(user)
        return answer.allowed

    def put(self, user: User, role: str, room: Room, allowed: bool, now: float) -> None:
        """Store an answer, and drop the oldest above the limits."""
        if self._lifetime_s <= 0:
            return
        rooms = self._users.setdefault(user, {})
        self._users.move_to_end(user)
        self._size += room not in rooms
        rooms.pop(room, None)
        rooms[room] = _Answer(allowed, role, now + self._lifetime_s)
        if len(rooms) > self._per_user:
            del rooms[next(iter(rooms))]
            self._size -= 1
        while self._size > self._limit:
            _, dropped = self._users.popitem(last=False)
            self._size -= len(dropped)

    def invalidate(self, user: User, room: Room | None = None) -> None:
        """Drop a user's answers, for one room or all."""
        rooms = self._users.get(user)
        if rooms is None:
            return
        if room is None:
            self._size -= len(rooms)
            del self._users[user]
        elif rooms.pop(room, None) is not None:
            self._size -= 1
