"""A replica whose limits are small, and what tests ask of it."""

from __future__ import annotations

import re

from tests.support.replica import Replica

SOCKETIO = "/socket.io/?EIO=4&transport="


def limited(replica: Replica) -> dict[str, int]:
    """Return how often each limit was hit, as /metrics says."""
    page = replica.get("/metrics")[1]
    found = re.findall(r'^gateway_limited_total\{limit="(\w+)"\} ([\d.]+)$', page, re.M)
    return {name: int(float(count)) for name, count in found if float(count)}
