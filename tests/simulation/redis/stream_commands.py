"""The commands on streams."""

from __future__ import annotations

from itertools import islice
from typing import Any

from tests.simulation.redis.command import Args, Table, wrong_arity
from tests.simulation.redis.keyspace import Keyspace, integer
from tests.simulation.redis.replies import SYNTAX, Refused
from tests.simulation.redis.streams import BAD_ID, LARGEST, NODE_ENTRIES, TOO_SMALL, Stream, id_text, parse_id

STREAM_COMMANDS = Table()
_add = STREAM_COMMANDS.add

_LAST_PART = 2**64 - 1


@_add("XADD", 4, -1, flags="write denyoom")
def _xadd(db: Keyspace, args: Args) -> Any:
    """Append an entry with a given id, or with `*`; the options that trim are not needed here."""
    if len(args) % 2:
        raise wrong_arity(b"xadd")
    given = None if args[1] == b"*" else parse_id(args[1])
    if given == 0:
        raise Refused(b"ERR The ID specified in XADD must be greater than 0-0")
    found = db.stream(args[0])
    last = 0 if found is None else found.last
    ident = max(db.now_ms << 64, last + 1) if given is None else given
    if ident <= last:
        raise Refused(TOO_SMALL)
    if found is None:
        found = db.data[args[0]] = Stream()
    found.add(ident, args[2:])
    return id_text(ident)


@_add("XDEL", 2, -1, flags="write")
def _xdel(db: Keyspace, args: Args) -> Any:
    found = db.stream(args[0])
    if found is None:
        return 0
    idents = [parse_id(text) for text in args[1:]]
    return sum([found.delete(ident) for ident in idents])


@_add("XLEN", 1)
def _xlen(db: Keyspace, args: Args) -> Any:
    found = db.stream(args[0])
    return 0 if found is None else found.length


@_add("XTRIM", 3, -1, flags="write")
def _xtrim(db: Keyspace, args: Args) -> Any:
    what, i = args[1].upper(), 2
    if what not in (b"MAXLEN", b"MINID"):
        raise Refused(SYNTAX)
    by_nodes = args[i] == b"~"
    i += args[i] in (b"~", b"=")
    if i >= len(args):
        raise Refused(SYNTAX)
    bound = integer(args[i]) if what == b"MAXLEN" else parse_id(args[i])
    if bound < 0:
        raise Refused(b"ERR The MAXLEN argument must be >= 0.")
    limit, rest = 100 * NODE_ENTRIES if by_nodes else 0, args[i + 1 :]
    if rest:
        if len(rest) != 2 or rest[0].upper() != b"LIMIT":
            raise Refused(SYNTAX)
        limit = integer(rest[1])
        if limit < 0:
            raise Refused(b"ERR The LIMIT argument must be >= 0.")
        if not by_nodes:
            raise Refused(b"ERR syntax error, LIMIT cannot be used without the special ~ option")
    found = db.stream(args[0])
    if found is None:
        return 0
    trim = found.trim_to_length if what == b"MAXLEN" else found.trim_below
    return trim(bound, by_nodes=by_nodes, limit=limit)


@_add("XRANGE", 3, -1)
def _xrange(db: Keyspace, args: Args) -> Any:
    return _range(db, args[0], args[1], args[2], args[3:], backwards=False)


@_add("XREVRANGE", 3, -1)
def _xrevrange(db: Keyspace, args: Args) -> Any:
    return _range(db, args[0], args[2], args[1], args[3:], backwards=True)


def _range(db: Keyspace, key: bytes, start: bytes, end: bytes, options: Args, *, backwards: bool) -> Any:
    low, high = _bound(start, 0), _bound(end, _LAST_PART)
    if start[:1] == b"(":
        if low == LARGEST:
            raise Refused(b"ERR invalid start ID for the interval")
        low += 1
    if end[:1] == b"(":
        if high == 0:
            raise Refused(b"ERR invalid end ID for the interval")
        high -= 1
    count: int | None = None
    for i in range(0, len(options), 2):
        if options[i].upper() != b"COUNT" or i + 1 == len(options):
            raise Refused(SYNTAX)
        count = max(integer(options[i + 1]), 0)
    found = db.stream(key)
    if found is None:
        return []
    if count == 0:
        return None
    rows = found.backwards(low, high) if backwards else found.between(low, high)
    return [[id_text(ident), row] for ident, row in islice(rows, count)]


def _bound(text: bytes, missing: int) -> int:
    if text == b"-":
        return 0
    if text == b"+":
        return LARGEST
    plain = text[1:] if text[:1] == b"(" else text
    if plain in (b"-", b"+"):
        raise Refused(BAD_ID)
    return parse_id(plain, missing)
