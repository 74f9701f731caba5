"""The commands on sorted sets."""

from __future__ import annotations

from typing import Any

from tests.simulation.redis.command import Args, Table
from tests.simulation.redis.keyspace import Keyspace, integer
from tests.simulation.redis.replies import SYNTAX, Refused, Scored
from tests.simulation.redis.sorted_sets import SortedSet, number

SORTED_SET_COMMANDS = Table()
_add = SORTED_SET_COMMANDS.add

_NONE = SortedSet()
"""Stands for a key that does not exist; it is never changed."""


@_add("ZADD", 3, -1, flags="write denyoom")
def _zadd(db: Keyspace, args: Args) -> Any:
    key, i = args[0], 1
    options: list[bytes] = []
    while i < len(args) and (option := args[i].upper()) in (b"NX", b"XX", b"GT", b"LT", b"CH"):
        options.append(option)
        i += 1
    pairs = args[i:]
    if not pairs or len(pairs) % 2:
        raise Refused(SYNTAX)
    only_new, only_known = b"NX" in options, b"XX" in options
    greater, less = b"GT" in options, b"LT" in options
    if only_new and only_known:
        raise Refused(b"ERR XX and NX options at the same time are not compatible")
    if greater + less + only_new > 1:
        raise Refused(b"ERR GT, LT, and/or NX options at the same time are not compatible")
    scores = [number(text) for text in pairs[::2]]
    found = db.sorted_set(key)
    if found is None:
        if only_known:
            return 0
        found = db.data[key] = SortedSet()
    added = changed = 0
    for score, member in zip(scores, pairs[1::2], strict=True):
        known = found.scores.get(member)
        if known is None:
            if not only_known:
                found.put(member, score)
                added += 1
        elif not (only_new or known == score or (greater and score <= known) or (less and score >= known)):
            found.put(member, score)
            changed += 1
    return added + changed if b"CH" in options else added


@_add("ZREM", 2, -1, flags="write")
def _zrem(db: Keyspace, args: Args) -> Any:
    found = db.sorted_set(args[0])
    if found is None:
        return 0
    gone = sum([found.remove(member) for member in args[1:]])
    _drop_if_empty(db, args[0], found)
    return gone


@_add("ZREMRANGEBYRANK", 3, flags="write")
def _zremrangebyrank(db: Keyspace, args: Args) -> Any:
    first, last = integer(args[1]), integer(args[2])
    found = db.sorted_set(args[0])
    return 0 if found is None else _cut(db, args[0], found, *found.indexes(first, last))


@_add("ZREMRANGEBYSCORE", 3, flags="write")
def _zremrangebyscore(db: Keyspace, args: Args) -> Any:
    _NONE.between(args[1], args[2])
    found = db.sorted_set(args[0])
    return 0 if found is None else _cut(db, args[0], found, *found.between(args[1], args[2]))


@_add("ZCARD", 1)
def _zcard(db: Keyspace, args: Args) -> Any:
    return len(db.sorted_set(args[0]) or ())


@_add("ZCOUNT", 3)
def _zcount(db: Keyspace, args: Args) -> Any:
    _NONE.between(args[1], args[2])
    found = db.sorted_set(args[0])
    if found is None:
        return 0
    start, end = found.between(args[1], args[2])
    return end - start


@_add("ZSCORE", 2)
def _zscore(db: Keyspace, args: Args) -> Any:
    found = db.sorted_set(args[0])
    return None if found is None else found.scores.get(args[1])


@_add("ZMSCORE", 2, -1)
def _zmscore(db: Keyspace, args: Args) -> Any:
    found = db.sorted_set(args[0]) or _NONE
    return [found.scores.get(member) for member in args[1:]]


@_add("ZRANGE", 3, -1)
def _zrange(db: Keyspace, args: Args) -> Any:
    """Return a range of ranks; ranges of scores and of names are not needed here."""
    first, last = args[1], args[2]
    options = [word.upper() for word in args[3:]]
    if any(option not in (b"REV", b"WITHSCORES") for option in options):
        raise Refused(SYNTAX)
    start, end = integer(first), integer(last)
    found = db.sorted_set(args[0])
    if found is None:
        return []
    low, high = found.indexes(start, end)
    if b"REV" in options:
        size = len(found)
        rows = found.order[size - high : size - low][::-1]
    else:
        rows = found.order[low:high]
    return _reply(rows, with_scores=b"WITHSCORES" in options)


@_add("ZRANGEBYSCORE", 3, -1)
def _zrangebyscore(db: Keyspace, args: Args) -> Any:
    with_scores, offset, count = False, 0, -1
    i = 3
    while i < len(args):
        option = args[i].upper()
        if option == b"WITHSCORES":
            with_scores = True
        elif option == b"LIMIT" and i + 2 < len(args):
            offset, count = integer(args[i + 1]), integer(args[i + 2])
            i += 2
        else:
            raise Refused(SYNTAX)
        i += 1
    _NONE.between(args[1], args[2])
    found = db.sorted_set(args[0])
    if found is None:
        return []
    start, end = found.between(args[1], args[2])
    start = start + offset if offset >= 0 else end
    if count >= 0:
        end = min(end, start + count)
    return _reply(found.order[start:end], with_scores=with_scores)


def _reply(rows: list[tuple[float, bytes]], *, with_scores: bool) -> list[Any]:
    if not with_scores:
        return [member for _, member in rows]
    return Scored([part for score, member in rows for part in (member, score)])


def _cut(db: Keyspace, key: bytes, found: SortedSet, start: int, end: int) -> int:
    gone = found.cut(start, end)
    _drop_if_empty(db, key, found)
    return gone


def _drop_if_empty(db: Keyspace, key: bytes, found: SortedSet) -> None:
    if not found.order:
        db.remove(key)
