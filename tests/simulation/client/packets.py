"""Packets of Socket.IO without binary, of the namespace /: socket.io-parser."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = range(5)
RESERVED = ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
DIGITS = "0123456789"


class Packet(NamedTuple):
    """A packet: `data` is None where there is none."""

    kind: int
    number: int | None
    data: Any


def encode(kind: int, number: int | None, data: Any) -> str:
    """Return a packet as text."""
    return f"{kind}{'' if number is None else number}{'' if data is None else to_json(data)}"


def decode(text: str) -> Packet:
    """Return a packet; raises `ValueError`, also for one that is binary or of another namespace."""
    if not text or text[0] not in "01234":
        raise ValueError(f"an unknown packet: {text!r}")
    kind, at = int(text[0]), 1
    while text[at : at + 1] in DIGITS and at < len(text):
        at += 1
    number = int(text[1:at]) if at > 1 else None
    if at == len(text):
        return Packet(kind, number, None)
    data = json.loads(text[at:])
    if not _is_valid(kind, data):
        raise ValueError(f"an invalid payload: {text!r}")
    return Packet(kind, number, data)


def _is_valid(kind: int, data: Any) -> bool:
    if kind == EVENT:
        return isinstance(data, list) and bool(data) and isinstance(data[0], str) and data[0] not in RESERVED
    if kind == ACK:
        return isinstance(data, list)
    if kind == CONNECT_ERROR:
        return isinstance(data, str | dict)
    return kind == CONNECT and isinstance(data, dict)
