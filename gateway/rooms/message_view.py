"""A view of a room's channel for people (`gateway tail`, the console). Pure."""

from __future__ import annotations

from typing import NamedTuple

from gateway.core.hub import MAX_SEQ
from gateway.core.replay import split_body
from publisher import wire

KINDS = {wire.Flag.RECOVERABLE: "event", wire.Flag.EPHEMERAL: "ephemeral", wire.Flag.CONTROL: "control"}
CONTROL = "control"


class Overheard(NamedTuple):
    """One message. `seq` is Redis' time in microseconds, `size` the body's bytes, `data` the JSON as written."""

    kind: str
    event: str
    seq: int
    offset: str
    size: int
    data: bytes


def overhear(raw: bytes) -> Overheard:
    """Return a parsed message; raises `ValueError` if no publisher wrote it."""
    message = wire.parse_message(raw)
    if message.seq > MAX_SEQ:
        raise ValueError("the seq is not a time of Redis")
    is_control = message.flag == wire.Flag.CONTROL
    event, data = (CONTROL, message.body) if is_control else split_body(message.body)
    kind = KINDS.get(message.flag, "unknown")
    return Overheard(kind, event, message.seq, message.offset.decode(), len(message.body), data)
