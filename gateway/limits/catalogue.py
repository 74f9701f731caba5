"""The limits in one table: the setting, what is counted in `gateway_limited_total`, what a client is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Limit(NamedTuple):
    """One limit; `name` is the setting's, the metric's label, and what errors name as their `limit`."""

    name: str
    answer: str


LIMITS = (
    Limit("connects_per_s", "HTTP 503 with `Retry-After`"),
    Limit("max_pending_connects", "HTTP 503 with `Retry-After`"),
    Limit("max_sockets_per_address", "HTTP 503 with `Retry-After`"),
    Limit("max_http_connections", "a connection that waits for a request is closed"),
    Limit("max_sockets_per_user", "the oldest socket is closed with 1008"),
    Limit("connect_timeout_s", "closed with 1008, `not authenticated in time`"),
    Limit("events_per_s", "`rate_limited` with `retry_after_ms`"),
    Limit("events_burst", "the same; after as many more closed with 1008, `too many messages`"),
    Limit("max_waiting_questions", "`rate_limited` with `retry_after_ms`"),
    Limit("max_rooms_per_socket", "`too_many_rooms`"),
    Limit(
        "max_payload_bytes", "websocket: closed with 1009, `message too big`, before it is read; polling: HTTP 413"
    ),
    Limit("max_buffer_bytes", "the connection is cut; the client comes back and recovers"),
    Limit("max_header_bytes", "HTTP 431"),
    Limit("request_timeout_s", "HTTP 408"),
)


def totals(*counters: Mapping[str, int]) -> dict[str, int]:
    """Add up counts by limit; each limit is there from the start, so that its first time shows as an increase."""
    return {limit.name: sum(counter.get(limit.name, 0) for counter in counters) for limit in LIMITS}
