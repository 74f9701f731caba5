"""Offsets: the place of an event in its tenant's history.

An offset is `<epoch>-<seq>`. `seq` grows with every event of the tenant and is never lower than the
Redis server's clock in microseconds. So it still grows after a failover or a flush, and it shows the
age of an event. `epoch` is a random name that is drawn with the tenant's first event: another epoch
means that Redis lost its data, and all earlier events with it.
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
    """Return the offset in a client's text; raise `InvalidEvent` for anything else."""
    match = _OFFSET.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidEvent("an offset looks like '<epoch>-<seq>', as an event carried it")
    return Offset(match[1], int(match[2]))
