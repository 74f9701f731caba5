"""Offsets: where in a tenant's history an event stands.

An offset is `<epoch>-<seq>`. `seq` grows with every event of the tenant and is never lower than the
Redis server's clock in microseconds, so that it still grows after a failover or a flush, and so that
the age of an event can be read off it. `epoch` is drawn at random together with the tenant's counter:
another epoch means that Redis lost its data, and with it everything before.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from publisher.errors import InvalidEvent

_OFFSET = re.compile(r"([a-z0-9]{1,16})-([0-9]{1,16})", re.ASCII)

SEQ_PER_S = 1_000_000


class Offset(NamedTuple):
    """A place in a tenant's history; offsets compare only within one epoch."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"


def parse_offset(text: object) -> Offset:
    """Read an offset that a client sent back; raises `InvalidEvent` for anything else."""
    match = _OFFSET.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidEvent("an offset looks like '<epoch>-<seq>', as an event carried it")
    return Offset(match[1], int(match[2]))
