"""Random commands of the kinds that gateway and publisher send, with valid, odd and wrong arguments."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

Words = tuple[Any, ...]
Draw = Callable[[Random], Words]

WORDS = (
    b"",
    b"a",
    b"b",
    b"c",
    b"0",
    b"7",
    b"-12",
    b"1764518208123456",
    b"x y",
    b"\x00\r\n",
    b"ab" * 40,
    b"z" * 200,
)
FIELDS = (b"a", b"b", b"c", b"seq", b"")
NUMBERS = (
    b"0",
    b"1",
    b"-1",
    b"3",
    b"17",
    b"-170",
    b"1764518208123456",
    b"9223372036854775807",
    b"-9223372036854775808",
)
ODD_NUMBERS = (b"", b"x", b"1.5", b"01", b"+1", b" 1", b"9223372036854775808", b"1e3")
# Not -0, which Valkey writes in two ways, by the encoding of the set.
SCORES = (
    b"0",
    b"1",
    b"2",
    b"2.5",
    b"-1",
    b"1764518208123456",
    b"1e20",
    b"0.1",
    b"inf",
    b"-inf",
    b"1e-7",
    b"3.0",
)
ODD_SCORES = (b"x", b"nan", b"", b"1 ", b"(1", b"1_0")
BOUNDS = (
    b"-inf",
    b"+inf",
    b"inf",
    b"0",
    b"1",
    b"2",
    b"2.5",
    b"(1",
    b"(2",
    b"(0",
    b"(inf",
    b"(-inf",
    b"1764518208123456",
)
IDS = (b"1-0", b"2-0", b"3-1", b"5", b"7-7", b"20-0", b"1764518208123456-0", b"18446744073709551615-0")
RANGE_IDS = (*IDS, b"-", b"+", b"(1-0", b"(2-0", b"(7-7", b"(5", b"0", b"0-0")
ODD_IDS = (
    b"",
    b"x",
    b"0-0",
    b"-1",
    b"1-",
    b"1-x",
    b"(0-0",
    b"(-",
    b"(+",
    b"(18446744073709551615-18446744073709551615",
)
OFFSETS = (b"0", b"1", b"3", b"9223372036854775807")
FAR_MS = (b"100000000", b"200000000", b"3000000000")
KINDS = ("s", "h", "z", "x")


def random_command(rng: Random) -> Words:
    """Return one command; a few have a wrong number of arguments, a key of another type, or nonsense."""
    words = rng.choice(_DRAWN)(rng)
    if rng.random() < 0.02:
        return words[: rng.randrange(1, len(words) + 1)]
    if rng.random() < 0.02:
        return (*words, rng.choice(WORDS))
    if rng.random() < 0.02:
        name = str(words[0])
        return (name.lower(), *words[1:])
    return words


def _in_script(rng: Random) -> Words:
    """Return a command for `redis.call`; scripts call none of the others here."""
    while (words := random_command(rng))[0] in ("PING", "PUBSUB", "WAIT", "ping", "pubsub", "wait"):
        pass
    return words


def _key(rng: Random, kind: str) -> str:
    if rng.random() < 0.04:
        kind = rng.choice(KINDS)
    return f"{kind}{rng.randrange(3)}"


def _any_key(rng: Random) -> str:
    return _key(rng, rng.choice(KINDS))


def _one(rng: Random, usual: tuple[bytes, ...], odd: tuple[bytes, ...]) -> bytes:
    return rng.choice(odd if rng.random() < 0.04 else usual)


def _some(rng: Random, usual: tuple[bytes, ...], most: int = 4) -> list[bytes]:
    return [rng.choice(usual) for _ in range(rng.randint(1, most))]


def _flags(rng: Random, *names: str, chance: float = 0.25) -> list[str]:
    return [name for name in names if rng.random() < chance]


def _number(rng: Random) -> bytes:
    return _one(rng, NUMBERS, ODD_NUMBERS)


def _set(rng: Random) -> Words:
    words: list[Any] = [
        "SET",
        _key(rng, "s"),
        rng.choice(WORDS),
        *_flags(rng, "NX", "XX", "GET", "KEEPTTL", chance=0.1),
    ]
    if rng.random() < 0.4:
        words += [rng.choice(("PX", "EX", "px")), _one(rng, FAR_MS, (*ODD_NUMBERS, b"0", b"-5"))]
    return tuple(words)


def _pexpire(rng: Random) -> Words:
    ms = _one(rng, (*FAR_MS, b"0", b"-1"), ODD_NUMBERS)
    return ("PEXPIRE", _any_key(rng), ms, *_flags(rng, "NX", "XX", "GT", "LT", chance=0.1))


def _hset(rng: Random) -> Words:
    pairs = [word for field in _some(rng, FIELDS) for word in (field, rng.choice(WORDS))]
    return ("HSET", _key(rng, "h"), *pairs)


def _zadd(rng: Random) -> Words:
    options = _flags(rng, "NX", "XX", "GT", "LT", "CH", "ch", chance=0.12)
    pairs = [part for member in _some(rng, WORDS) for part in (_one(rng, SCORES, ODD_SCORES), member)]
    return ("ZADD", _key(rng, "z"), *options, *pairs)


def _zrange(rng: Random) -> Words:
    return ("ZRANGE", _key(rng, "z"), _number(rng), _number(rng), *_flags(rng, "REV", "WITHSCORES", chance=0.4))


def _bounds(rng: Random) -> tuple[bytes, bytes]:
    return _one(rng, BOUNDS, ODD_SCORES), _one(rng, BOUNDS, ODD_SCORES)


def _zrangebyscore(rng: Random) -> Words:
    words: list[Any] = ["ZRANGEBYSCORE", _key(rng, "z"), *_bounds(rng), *_flags(rng, "WITHSCORES")]
    if rng.random() < 0.4:
        # Not an offset below 0, which Valkey reads in two ways, by the encoding of the set.
        words += ["LIMIT", _one(rng, OFFSETS, ODD_NUMBERS), _number(rng)]
    return tuple(words)


def _xadd(rng: Random) -> Words:
    pairs = [word for field in _some(rng, FIELDS) for word in (field, rng.choice(WORDS))]
    return ("XADD", _key(rng, "x"), _one(rng, IDS, ODD_IDS), *pairs)


def _xtrim(rng: Random) -> Words:
    words: list[Any] = ["XTRIM", _key(rng, "x")]
    ways = _flags(rng, "~", "=", chance=0.5)[:1]
    if rng.random() < 0.5:
        words += ["MAXLEN", *ways, _one(rng, (b"0", b"1", b"2", b"100"), (*ODD_NUMBERS, b"-1"))]
    else:
        words += ["MINID", *ways, _one(rng, IDS, ODD_IDS)]
    if rng.random() < 0.2:
        words += ["LIMIT", _one(rng, (b"0", b"1", b"10"), ODD_NUMBERS)]
    return tuple(words)


def _xrange(rng: Random) -> Words:
    name = rng.choice(("XRANGE", "XREVRANGE"))
    words: list[Any] = [name, _key(rng, "x"), _one(rng, RANGE_IDS, ODD_IDS), _one(rng, RANGE_IDS, ODD_IDS)]
    if rng.random() < 0.4:
        words += ["COUNT", _one(rng, (b"0", b"1", b"2", b"-1", b"50"), ODD_NUMBERS)]
    return tuple(words)


_DRAWN: tuple[Draw, ...] = (
    _set,
    _pexpire,
    _hset,
    _hset,
    _zadd,
    _zadd,
    _zrange,
    _zrangebyscore,
    _xadd,
    _xadd,
    _xtrim,
    _xrange,
    _xrange,
    lambda rng: ("GET", _key(rng, "s")),
    lambda rng: ("MGET", *(_any_key(rng) for _ in range(rng.randint(1, 4)))),
    lambda rng: ("INCR", _key(rng, "s")),
    lambda rng: ("DEL", *(_any_key(rng) for _ in range(rng.randint(1, 2)))),
    lambda rng: ("EXISTS", *(_any_key(rng) for _ in range(rng.randint(1, 3)))),
    lambda rng: ("TYPE", _any_key(rng)),
    lambda rng: ("HGET", _key(rng, "h"), rng.choice(FIELDS)),
    lambda rng: ("HMGET", _key(rng, "h"), *_some(rng, FIELDS)),
    lambda rng: ("HGETALL", _key(rng, "h")),
    lambda rng: ("HKEYS", _key(rng, "h")),
    lambda rng: ("HLEN", _key(rng, "h")),
    lambda rng: ("HDEL", _key(rng, "h"), *_some(rng, FIELDS, 2)),
    lambda rng: ("HINCRBY", _key(rng, "h"), rng.choice(FIELDS), _number(rng)),
    lambda rng: ("ZCARD", _key(rng, "z")),
    lambda rng: ("ZCOUNT", _key(rng, "z"), *_bounds(rng)),
    lambda rng: ("ZSCORE", _key(rng, "z"), rng.choice(WORDS)),
    lambda rng: ("ZMSCORE", _key(rng, "z"), *_some(rng, WORDS)),
    lambda rng: ("ZREM", _key(rng, "z"), *_some(rng, WORDS)),
    lambda rng: ("ZREMRANGEBYRANK", _key(rng, "z"), _number(rng), _number(rng)),
    lambda rng: ("ZREMRANGEBYSCORE", _key(rng, "z"), *_bounds(rng)),
    lambda rng: ("XDEL", _key(rng, "x"), *(_one(rng, IDS, ODD_IDS) for _ in range(rng.randint(1, 2)))),
    lambda rng: ("XLEN", _key(rng, "x")),
    lambda rng: ("DBSIZE",),
    lambda rng: ("PING", *_some(rng, WORDS, 1)),
    lambda rng: ("PUBLISH", rng.choice("abc"), rng.choice(WORDS)),
    lambda rng: ("PUBSUB", "NUMSUB", *_some(rng, (b"a", b"b", b"q"))),
    lambda rng: ("WAIT", 0, 10),
    lambda rng: ("NOPE", rng.choice(WORDS)),
    lambda rng: ("EVAL", "return redis.call(unpack(ARGV))", 0, *_in_script(rng)),
    lambda rng: ("EVAL", "return redis.pcall(unpack(ARGV))", 0, *_in_script(rng)),
)
