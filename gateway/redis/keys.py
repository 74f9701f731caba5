"""The channels of the connections themselves.

rt:probe:<random>        channel probes of one connection; in a cluster `rt:probe:{<n>}:<random>`
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Final

from publisher.ids import new_hex

_PREFIX: Final = b"rt:probe:"


def probe_channel() -> bytes:
    """Name a new channel that nobody else uses."""
    return _PREFIX + new_hex(8).encode()


def probe_channels_by_slot() -> Iterator[bytes]:
    """Name new channels, without end, each in another slot."""
    return (b"%b{%d}:%b" % (_PREFIX, number, new_hex(8).encode()) for number in count())
