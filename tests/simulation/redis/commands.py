"""The commands on keys, strings and hashes, and the table of all commands on data."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import Any

from tests.simulation.redis.command import Args, Table, wrong_arity
from tests.simulation.redis.keyspace import Keyspace, integer, type_name
from tests.simulation.redis.replies import OK, SYNTAX, Refused, Status
from tests.simulation.redis.sorted_set_commands import SORTED_SET_COMMANDS
from tests.simulation.redis.stream_commands import STREAM_COMMANDS

COMMANDS = Table(SORTED_SET_COMMANDS | STREAM_COMMANDS)

_LARGEST = 2**63 - 1
_UNITS = {b"PX": (1, False), b"EX": (1000, False), b"PXAT": (1, True), b"EXAT": (1000, True)}


@COMMANDS.add("TIME", 0, flags="loading")
def _time(db: Keyspace, args: Args) -> Any:
    seconds, micros = divmod(db.now_us, 1_000_000)
    return [b"%d" % seconds, b"%d" % micros]


# Keys


@COMMANDS.add("DEL", 1, -1, flags="write")
def _del(db: Keyspace, args: Args) -> Any:
    gone = 0
    for key in args:
        if db.find(key) is not None:
            db.remove(key)
            gone += 1
    return gone


@COMMANDS.add("EXISTS", 1, -1)
def _exists(db: Keyspace, args: Args) -> Any:
    return sum(db.find(key) is not None for key in args)


@COMMANDS.add("TYPE", 1)
def _type(db: Keyspace, args: Args) -> Any:
    return Status(type_name(db.find(args[0])))


@COMMANDS.add("PTTL", 1)
def _pttl(db: Keyspace, args: Args) -> Any:
    if db.find(args[0]) is None:
        return -2
    when = db.expires.get(args[0])
    return -1 if when is None else when - db.now_ms


@COMMANDS.add("TTL", 1)
def _ttl(db: Keyspace, args: Args) -> Any:
    left = _pttl(db, args)
    return left if left < 0 else (left + 500) // 1000


@COMMANDS.add("PEXPIRE", 2, -1, flags="write")
def _pexpire(db: Keyspace, args: Args) -> Any:
    key, options = args[0], [word.upper() for word in args[2:]]
    for option in options:
        if option not in (b"NX", b"XX", b"GT", b"LT"):
            raise Refused(b"ERR Unsupported option " + option.lower())
    if b"NX" in options and len(options) > 1:
        raise Refused(b"ERR NX and XX, GT or LT options at the same time are not compatible")
    if b"GT" in options and b"LT" in options:
        raise Refused(b"ERR GT and LT options at the same time are not compatible")
    when = integer(args[1]) + db.now_ms
    if not -_LARGEST <= when <= _LARGEST:
        raise Refused(b"ERR invalid expire time in 'pexpire' command")
    if db.find(key) is None:
        return 0
    if options:
        known = db.expires.get(key)
        if known is None:
            if b"XX" in options or b"GT" in options:
                return 0
        elif b"NX" in options or (b"GT" in options and when <= known) or (b"LT" in options and when >= known):
            return 0
    db.expire(key, when)
    return 1


@COMMANDS.add("KEYS", 1)
def _keys(db: Keyspace, args: Args) -> Any:
    return matching(db.keys(), args[0])


@COMMANDS.add("SCAN", 1, -1)
def _scan(db: Keyspace, args: Args) -> Any:
    """Return all keys at once, which Redis may do as well."""
    found = db.keys()
    if not args[0].isdigit():
        raise Refused(b"ERR invalid cursor")
    for i in range(1, len(args), 2):
        option = args[i].upper()
        if i + 1 == len(args) or option not in (b"MATCH", b"COUNT", b"TYPE"):
            raise Refused(SYNTAX)
        if option == b"MATCH":
            found = matching(found, args[i + 1])
        elif option == b"TYPE":
            found = [key for key in found if type_name(db.data[key]) == args[i + 1].lower()]
        elif integer(args[i + 1]) < 1:
            raise Refused(SYNTAX)
    return [b"0", found if args[0] == b"0" else []]


@COMMANDS.add("DBSIZE", 0)
def _dbsize(db: Keyspace, args: Args) -> Any:
    return len(db.data)


@COMMANDS.add("FLUSHALL", 0, -1, flags="write")
def _flushall(db: Keyspace, args: Args) -> Any:
    if len(args) > 1 or (args and args[0].upper() not in (b"SYNC", b"ASYNC")):
        raise Refused(SYNTAX)
    db.data.clear()
    db.expires.clear()
    return OK


# Strings


@COMMANDS.add("GET", 1)
def _get(db: Keyspace, args: Args) -> Any:
    return db.string(args[0])


@COMMANDS.add("MGET", 1, -1)
def _mget(db: Keyspace, args: Args) -> Any:
    found = [db.find(key) for key in args]
    return [value if type(value) is bytes else None for value in found]


@COMMANDS.add("SET", 2, -1, flags="write denyoom")
def _set(db: Keyspace, args: Args) -> Any:
    key, value = args[0], args[1]
    if len(args) == 2:
        db.data[key] = value
        db.expires.pop(key, None)
        return OK
    if len(args) == 4 and args[2] == b"PX":  # as nearly always
        until = integer(args[3]) + db.now_ms
        if db.now_ms < until < _LARGEST:
            db.data[key] = value
            db.expires[key] = until
            return OK
    when, options = _set_options(db, args)
    known = db.string(key) if b"GET" in options else db.find(key)
    reply = known if b"GET" in options else OK
    if (b"NX" in options and known is not None) or (b"XX" in options and known is None):
        return reply if b"GET" in options else None
    db.data[key] = value
    if when is not None:
        db.expire(key, when)
    elif b"KEEPTTL" not in options:
        db.expires.pop(key, None)
    return reply


def _set_options(db: Keyspace, args: Args) -> tuple[int | None, list[bytes]]:
    """Return when the key shall expire, None for never, and the other options of SET."""
    options: list[bytes] = []
    expiry: tuple[int, bool, bytes] | None = None
    i = 2
    while i < len(args):
        option = args[i].upper()
        if option in _UNITS and i + 1 < len(args) and expiry is None and b"KEEPTTL" not in options:
            expiry = (*_UNITS[option], args[i + 1])
            i += 1
        elif option in (b"NX", b"XX", b"GET") or (option == b"KEEPTTL" and expiry is None):
            options.append(option)
        else:
            raise Refused(SYNTAX)
        i += 1
    if b"NX" in options and b"XX" in options:
        raise Refused(SYNTAX)
    if expiry is None:
        return None, options
    unit, absolute, text = expiry
    when = integer(text) * unit
    if when <= 0 or when > _LARGEST - (0 if absolute else db.now_ms):
        raise Refused(b"ERR invalid expire time in 'set' command")
    return when if absolute else when + db.now_ms, options


@COMMANDS.add("INCR", 1, flags="write denyoom")
def _incr(db: Keyspace, args: Args) -> Any:
    known = db.string(args[0])
    number = integer(b"0" if known is None else known) + 1
    if number > _LARGEST:
        raise Refused(b"ERR increment or decrement would overflow")
    db.data[args[0]] = b"%d" % number
    return number


# Hashes


@COMMANDS.add("HGET", 2)
def _hget(db: Keyspace, args: Args) -> Any:
    found = db.hash(args[0])
    return None if found is None else found.get(args[1])


@COMMANDS.add("HMGET", 2, -1)
def _hmget(db: Keyspace, args: Args) -> Any:
    found = db.hash(args[0])
    if found is None:
        return [None] * (len(args) - 1)
    return list(map(found.get, args[1:]))


@COMMANDS.add("HGETALL", 1)
def _hgetall(db: Keyspace, args: Args) -> Any:
    return db.hash(args[0]) or {}


@COMMANDS.add("HKEYS", 1)
def _hkeys(db: Keyspace, args: Args) -> Any:
    return list(db.hash(args[0]) or ())


@COMMANDS.add("HLEN", 1)
def _hlen(db: Keyspace, args: Args) -> Any:
    return len(db.hash(args[0]) or ())


@COMMANDS.add("HSET", 3, -1, flags="write denyoom")
def _hset(db: Keyspace, args: Args) -> Any:
    if len(args) % 2 == 0:
        raise wrong_arity(b"hset")
    found = db.hash(args[0])
    if found is None:
        found = db.data[args[0]] = {}
    before = len(found)
    for i in range(1, len(args), 2):
        found[args[i]] = args[i + 1]
    return len(found) - before


@COMMANDS.add("HDEL", 2, -1, flags="write")
def _hdel(db: Keyspace, args: Args) -> Any:
    found = db.hash(args[0])
    if found is None:
        return 0
    gone = sum([found.pop(field, None) is not None for field in args[1:]])
    if not found:
        db.remove(args[0])
    return gone


@COMMANDS.add("HINCRBY", 3, flags="write denyoom")
def _hincrby(db: Keyspace, args: Args) -> Any:
    by = integer(args[2])
    found = db.hash(args[0])
    number = integer((found or {}).get(args[1], b"0"), b"ERR hash value is not an integer") + by
    if not -_LARGEST - 1 <= number <= _LARGEST:
        raise Refused(b"ERR increment or decrement would overflow")
    if found is None:
        found = db.data[args[0]] = {}
    found[args[1]] = b"%d" % number
    return number


def matching(names: list[bytes], pattern: bytes) -> list[bytes]:
    """Return the names that match a pattern such as `rt:*`."""
    if pattern == b"*":
        return names
    # fnmatch writes `[^a]` as `[!a]`; in Redis, braces and exclamation marks are plain characters.
    matches = re.compile(translate(pattern.decode("latin-1").replace("[^", "[!"))).match
    return [name for name in names if matches(name.decode("latin-1"))]
