"""One table of all limits: the setting, the label in `gateway_limited_total`, and the answer to the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Limit(NamedTuple):
    """One limit; `name` is the setting, the metric's label, and the `limit` in errors."""

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
    Limit(
        "events_burst",
        "`rate_limited` with `retry_after_ms`; above twice the burst closed with 1008, `too many messages`",
    ),
    Limit("max_waiting_questions", "`rate_limited` with `retry_after_ms`"),
    Limit("max_rooms_per_socket", "`too_many_rooms`"),
    Limit(
        "max_payload_bytes", "websocket: closed with 1009, `message too big`, before it is read; polling: HTTP 413"
    ),
    Limit("max_buffer_bytes", "the connection is cut; the client reconnects and recovers"),
    Limit("max_header_bytes", "HTTP 431"),
    Limit("request_timeout_s", "HTTP 408"),
)


def totals(*counters: Mapping[str, int]) -> dict[str, int]:
    """Return the sum of the counters for each limit, also if it is 0, so that its first count is an increase."""
    return {limit.name: sum(counter.get(limit.name, 0) for counter in counters) for limit in LIMITS}
