"""The keys of the simulated Redis, their values, and when they expire."""

from __future__ import annotations

from typing import Any

from tests.simulation.redis.replies import NOT_AN_INTEGER, WRONG_TYPE, Refused
from tests.simulation.redis.sorted_sets import SortedSet
from tests.simulation.redis.streams import Stream

Value = bytes | dict[bytes, bytes] | SortedSet | Stream

_TYPES: dict[type, bytes] = {bytes: b"string", dict: b"hash", SortedSet: b"zset", Stream: b"stream"}
_LARGEST = 2**63


class Keyspace:
    """All keys. `at` sets the time, which stands still while a command or a script runs."""

    __slots__ = ("data", "expires", "now_ms", "now_us")

    def __init__(self) -> None:
        self.data: dict[bytes, Value] = {}
        self.expires: dict[bytes, int] = {}
        """Time in ms after which a key is gone."""
        self.now_us = 0
        self.now_ms = 0

    def at(self, now_us: int) -> None:
        """Set the wall time in µs."""
        self.now_us = now_us
        self.now_ms = now_us // 1000

    def find(self, key: bytes) -> Any:
        """Return the value of a key, None if it does not exist; remove it if it has expired."""
        value = self.data.get(key)
        if value is not None and key in self.expires and self.expires[key] < self.now_ms:
            self.remove(key)
            return None
        return value

    def string(self, key: bytes) -> bytes | None:
        """Return a string, None if there is none; raise `Refused` for another type."""
        value = self.find(key)
        if value is None or type(value) is bytes:
            return value
        raise Refused(WRONG_TYPE)

    def hash(self, key: bytes) -> dict[bytes, bytes] | None:
        """Return a hash, None if there is none; raise `Refused` for another type."""
        value = self.find(key)
        if value is None or type(value) is dict:
            return value
        raise Refused(WRONG_TYPE)

    def sorted_set(self, key: bytes) -> SortedSet | None:
        """Return a sorted set, None if there is none; raise `Refused` for another type."""
        value = self.find(key)
        if value is None or type(value) is SortedSet:
            return value
        raise Refused(WRONG_TYPE)

    def stream(self, key: bytes) -> Stream | None:
        """Return a stream, None if there is none; raise `Refused` for another type."""
        value = self.find(key)
        if value is None or type(value) is Stream:
            return value
        raise Refused(WRONG_TYPE)

    def remove(self, key: bytes) -> None:
        """Remove a key and its expiry."""
        del self.data[key]
        self.expires.pop(key, None)

    def expire(self, key: bytes, when_ms: int) -> None:
        """Let a key expire; remove it if that time is over."""
        if when_ms <= self.now_ms:
            self.remove(key)
        else:
            self.expires[key] = when_ms

    def expire_due(self) -> int:
        """Remove all keys that have expired, after a look at each with an expiry; return their number."""
        due = [key for key, when in self.expires.items() if when < self.now_ms]
        for key in due:
            self.remove(key)
        return len(due)

    def keys(self) -> list[bytes]:
        """Return the keys that have not expired, the oldest first."""
        return [key for key in self.data if self.expires.get(key, self.now_ms) >= self.now_ms]

    def copy(self) -> Keyspace:
        """Return a copy that shares nothing that changes."""
        found = Keyspace()
        found.data = {key: value if isinstance(value, bytes) else value.copy() for key, value in self.data.items()}
        found.expires = dict(self.expires)
        found.at(self.now_us)
        return found

    def become(self, other: Keyspace) -> None:
        """Take over the keys of another keyspace, which must not be used any more."""
        self.data, self.expires = other.data, other.expires

    def dump(self) -> dict[bytes, tuple[bytes, Any, int | None]]:
        """Return type, content and expiry of each key, for comparisons."""
        return {
            key: (type_name(self.data[key]), _content(self.data[key]), self.expires.get(key))
            for key in self.keys()
        }


def type_name(value: Value | None) -> bytes:
    """Return the reply to TYPE."""
    return b"none" if value is None else _TYPES[type(value)]


def integer(text: bytes, refusal: bytes = NOT_AN_INTEGER) -> int:
    """Return an integer of 64 bits in Redis' strict spelling; raise `Refused` for anything else."""
    try:
        value = int(text)
    except ValueError:
        raise Refused(refusal) from None
    if b"%d" % value != text or not -_LARGEST <= value < _LARGEST:
        raise Refused(refusal)
    return value


def _content(value: Value) -> Any:
    if isinstance(value, SortedSet):
        return list(value.order)
    if isinstance(value, Stream):
        return value.rows()
    return dict(value) if isinstance(value, dict) else value
