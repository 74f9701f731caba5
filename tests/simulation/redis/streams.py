"""Streams, in nodes as Valkey packs them: what `XTRIM ~` removes depends on where a node ends.

A node ends at 100 entries, also deleted ones, or at 4096 bytes of its listpack, whose size is counted here as
Valkey writes it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

from tests.simulation.redis.replies import Refused

NODE_ENTRIES = 100
NODE_BYTES = 4096
LARGEST = (1 << 128) - 1
BAD_ID = b"ERR Invalid stream ID specified as stream command argument"
TOO_SMALL = b"ERR The ID specified in XADD is equal or smaller than the target stream top item"
_MOST = 2**64

Row = tuple[int, list[bytes]]
"""An entry: its id as one number, and its fields and values."""


class Node:
    """Some entries in a row, which one listpack holds."""

    __slots__ = ("fields", "first", "ids", "last", "rows", "size", "used")

    def __init__(self, ident: int, fields: list[bytes]) -> None:
        self.first = ident
        self.last = ident
        """Id of the last entry, also if that is deleted."""
        self.fields = fields
        """Names of the first entry's fields; entries with the same ones do not repeat them."""
        self.ids: list[int] = []
        self.rows: list[list[bytes]] = []
        self.used = 0
        """Entries, also deleted ones."""
        # Header and end; the numbers of entries, deleted entries and fields; a terminator.
        self.size = 7 + 3 * 2 + sum(map(element_size, fields)) + integer_size(len(fields))

    def append(self, ident: int, words: list[bytes]) -> None:
        """Add an entry; `words` are its fields and values."""
        names = words[::2]
        parts = words[1::2] if names == self.fields else words
        count = len(parts) + 3 if parts is not words else len(parts) + 4
        self.size += (
            2  # flags
            + integer_size((ident >> 64) - (self.first >> 64))
            + integer_size((ident & (_MOST - 1)) - (self.first & (_MOST - 1)))
            + (integer_size(len(names)) if parts is words else 0)
            + sum(map(element_size, parts))
            + integer_size(count)
        )
        self.used += 1
        self.last = ident
        self.ids.append(ident)
        self.rows.append(words)

    def copy(self) -> Node:
        """Return a copy; entries never change, so they are shared."""
        found = Node(self.first, self.fields)
        found.last, found.used, found.size = self.last, self.used, self.size
        found.ids, found.rows = list(self.ids), list(self.rows)
        return found


class Stream:
    """One stream."""

    __slots__ = ("last", "length", "nodes")

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.length = 0
        self.last = 0
        """The highest id that was ever added."""

    def copy(self) -> Stream:
        """Return a copy."""
        found = Stream()
        found.nodes = [node.copy() for node in self.nodes]
        found.length, found.last = self.length, self.last
        return found

    def rows(self) -> list[tuple[bytes, list[bytes]]]:
        """Return all entries, for comparisons."""
        return [(id_text(ident), row) for ident, row in self.between(0, LARGEST)]

    def add(self, ident: int, words: list[bytes]) -> None:
        """Append an entry; raise `Refused` for an id that is not above the last one."""
        if ident <= self.last:
            raise Refused(TOO_SMALL)
        node = self.nodes[-1] if self.nodes else None
        if node is None or node.used >= NODE_ENTRIES or node.size + sum(map(len, words)) >= NODE_BYTES:
            node = Node(ident, words[::2])
            self.nodes.append(node)
        node.append(ident, words)
        self.length += 1
        self.last = ident

    def delete(self, ident: int) -> bool:
        """Delete an entry; return whether there was one."""
        at = self._node_of(ident)
        if at < len(self.nodes):
            node = self.nodes[at]
            i = bisect_left(node.ids, ident)
            if i < len(node.ids) and node.ids[i] == ident:
                self._drop(at, i, i + 1)
                return True
        return False

    def between(self, low: int, high: int) -> Iterator[Row]:
        """Yield the entries from `low` to `high`, both included."""
        for node in self.nodes[self._node_of(low) :]:
            if node.first > high:
                return
            start, end = bisect_left(node.ids, low), bisect_right(node.ids, high)
            yield from zip(node.ids[start:end], node.rows[start:end], strict=True)

    def backwards(self, low: int, high: int) -> Iterator[Row]:
        """Yield the entries from `high` to `low`, both included."""
        for node in reversed(self.nodes):
            if node.last < low:
                return
            start, end = bisect_left(node.ids, low), bisect_right(node.ids, high)
            yield from zip(node.ids[start:end][::-1], node.rows[start:end][::-1], strict=True)

    def trim_to_length(self, most: int, *, by_nodes: bool, limit: int) -> int:
        """Remove the oldest entries beyond `most`; return their number."""
        return self._trim(
            lambda node: self.length - len(node.ids) >= most,
            lambda node: max(self.length - most, 0),
            by_nodes=by_nodes,
            limit=limit,
        )

    def trim_below(self, least: int, *, by_nodes: bool, limit: int) -> int:
        """Remove the entries below an id; return their number."""
        return self._trim(
            lambda node: node.last < least,
            lambda node: bisect_left(node.ids, least),
            by_nodes=by_nodes,
            limit=limit,
        )

    def _trim(
        self, removes: Callable[[Node], bool], part: Callable[[Node], int], *, by_nodes: bool, limit: int
    ) -> int:
        """Remove whole nodes from the front, at most `limit` entries (0: any number), then a part of the next."""
        gone = nodes = 0
        for node in self.nodes:
            entries = len(node.ids)
            if (limit and gone + entries > limit) or not removes(node):
                break
            self.length -= entries
            gone += entries
            nodes += 1
        del self.nodes[:nodes]
        if not by_nodes and self.nodes and (count := part(self.nodes[0])):
            self._drop(0, 0, count)
            gone += count
        return gone

    def _node_of(self, ident: int) -> int:
        """Return the index of the first node that ends at or after an id."""
        if self.nodes and self.nodes[-1].first <= ident:
            return len(self.nodes) - (ident <= self.nodes[-1].last)
        return bisect_left(self.nodes, ident, key=lambda node: node.last)

    def _drop(self, at: int, start: int, end: int) -> None:
        node = self.nodes[at]
        self.length -= end - start
        del node.ids[start:end], node.rows[start:end]
        if not node.ids:
            del self.nodes[at]


def id_text(ident: int) -> bytes:
    """Return an id as Redis writes it."""
    return b"%d-%d" % (ident >> 64, ident & (_MOST - 1))


def parse_id(text: bytes, missing: int = 0) -> int:
    """Return an id as one number, with `missing` for a second part that it lacks; raise `Refused` for no id."""
    first, dash, second = text.partition(b"-")
    if not first.isdigit() or (dash and not second.isdigit()):
        raise Refused(BAD_ID)
    high, low = int(first), int(second) if dash else missing
    if high >= _MOST or low >= _MOST:
        raise Refused(BAD_ID)
    return (high << 64) + low


def integer_size(value: int) -> int:
    """Return the bytes of an integer in a listpack."""
    if 0 <= value <= 127:
        return 2
    for bits, size in ((13, 2), (16, 3), (24, 4), (32, 5)):
        if -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            return size + 1
    return 10


def element_size(word: bytes) -> int:
    """Return the bytes of a string in a listpack, which holds short decimal numbers as integers."""
    size = len(word)
    if size <= 20 and word[-1:].isdigit() and word.lstrip(b"-").isdigit():
        value = int(word)
        if b"%d" % value == word and -(1 << 63) <= value < 1 << 63:
            return integer_size(value)
    size += 1 if size < 64 else 2 if size < 4096 else 5
    if size <= 127:
        return size + 1
    return size + (2 if size < 16383 else 3 if size < 2097151 else 4 if size < 268435455 else 5)
