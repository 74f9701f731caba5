"""Replies of the simulated Redis, and their bytes in RESP2 and RESP3.

A command returns plain values: `int`, `bytes` for a bulk string, `None`, `list`, and for what RESP3 tells apart a
`float` for a score, a `dict` for a map, `Scored` for members with scores, `Status` and `Verbatim`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Encode = Callable[[Any], bytes]


class Refused(Exception):
    """A command failed; the text is the error reply without its leading dash."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text
        self.line = 0
        """The line of the script whose command failed."""


class Status(bytes):
    """A simple string, such as OK."""

    __slots__ = ()


class Verbatim(bytes):
    """A text for people, such as the reply to INFO."""

    __slots__ = ()


class Scored(list[Any]):
    """Members with their scores, flat: member, score, member, score."""

    __slots__ = ()


OK = Status(b"OK")

WRONG_TYPE = b"WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_AN_INTEGER = b"ERR value is not an integer or out of range"
SYNTAX = b"ERR syntax error"
OUT_OF_MEMORY = b"OOM command not allowed when used memory > 'maxmemory'."
READ_ONLY = b"READONLY You can't write against a read only replica."
LOADING = b"LOADING Valkey is loading the dataset in memory"
NO_SCRIPT = b"NOSCRIPT No matching script."


def number_text(value: float) -> bytes:
    """Return a double as Valkey writes it: whole numbers in full, others with the fewest digits that tell them."""
    if value != value:
        return b"nan"
    if math.isinf(value):
        return b"inf" if value > 0 else b"-inf"
    if value == int(value) and abs(value) < 2**63:
        return b"%d" % value
    sign, text = (b"-" if value < 0 else b""), repr(abs(value))
    mantissa, _, power = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).rstrip("0")
    shift = int(power or 0) - len(fraction) + len(whole + fraction) - len(digits)
    digits = digits.lstrip("0")
    exponent = shift + len(digits) - 1
    if shift >= 0 and exponent < len(digits) + 7:
        return sign + (digits + "0" * shift).encode()
    if shift < 0 and (shift > -7 or abs(exponent) < 4):
        point = len(digits) + shift
        text = f"{digits[:point]}.{digits[point:]}" if point > 0 else "0." + "0" * -point + digits
        return sign + text.encode()
    rest = "." + digits[1:] if len(digits) > 1 else ""
    return sign + f"{digits[0]}{rest}e{exponent:+d}".encode()


def error_bytes(text: bytes) -> bytes:
    """Return an error reply."""
    return b"-" + text.replace(b"\r", b" ").replace(b"\n", b" ") + b"\r\n"


def array_header(length: int) -> bytes:
    """Return the beginning of an array."""
    return b"*%d\r\n" % length


def bulk(value: bytes) -> bytes:
    """Return a bulk string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def resp2(value: Any) -> bytes:
    """Return a reply for a client that speaks RESP2."""
    return _RESP2[type(value)](value)


def resp3(value: Any) -> bytes:
    """Return a reply for a client that speaks RESP3."""
    return _RESP3[type(value)](value)


def _integer(value: int) -> bytes:
    return b":%d\r\n" % value


def _status(value: bytes) -> bytes:
    return b"+%b\r\n" % value


def _array(encode: Encode) -> Callable[[list[Any]], bytes]:
    def encoded(value: list[Any]) -> bytes:
        items = [bulk(item) if type(item) is bytes else encode(item) for item in value]
        return array_header(len(value)) + b"".join(items)

    return encoded


def _flat(value: dict[Any, Any]) -> bytes:
    return resp2([part for pair in value.items() for part in pair])


def _map(value: dict[Any, Any]) -> bytes:
    return b"%%%d\r\n" % len(value) + b"".join([resp3(part) for pair in value.items() for part in pair])


def _pairs(value: Scored) -> bytes:
    return resp3([[value[i], value[i + 1]] for i in range(0, len(value), 2)])


def _verbatim(value: bytes) -> bytes:
    return b"=%d\r\ntxt:%b\r\n" % (len(value) + 4, value)


_RESP2: dict[type, Encode] = {
    int: _integer,
    bytes: bulk,
    type(None): lambda value: b"$-1\r\n",
    float: lambda value: bulk(number_text(value)),
    list: _array(resp2),
    Scored: _array(resp2),
    dict: _flat,
    Status: _status,
    Verbatim: bulk,
}
_RESP3: dict[type, Encode] = {
    **_RESP2,
    type(None): lambda value: b"_\r\n",
    float: lambda value: b",%b\r\n" % number_text(value),
    list: _array(resp3),
    Scored: _pairs,
    dict: _map,
    Verbatim: _verbatim,
}
