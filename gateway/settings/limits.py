"""The settings of limits on clients. What a client gets beyond each is in `gateway/limits/catalogue.py`."""

from __future__ import annotations

from pydantic import Field

from gateway.settings.common import Group


class Limits(Group):
    """The limits on clients; 0 is no limit where the description says so."""

    connect_timeout_s: float = Field(
        10.0,
        gt=0,
        le=120,
        description="seconds that a new socket has to authenticate",
    )
    request_timeout_s: float = Field(
        20.0,
        gt=0,
        le=300,
        description="seconds that a client has to send the head of an HTTP request, and again for its body",
    )
    max_header_bytes: int = Field(
        16_384,
        ge=8192,
        le=262_144,
        description="largest head of an HTTP request in bytes: its first line and all headers",
    )
    max_payload_bytes: int = Field(
        1_000_000,
        ge=1024,
        le=100_000_000,
        description="largest message, and largest polling body, that a client may send, in bytes",
    )
    max_buffer_bytes: int = Field(
        1 << 20,
        ge=65_536,
        description="unsent bytes at which a slow client is cut; it then comes back and recovers. The largest "
        "event has half of that",
    )
    max_rooms_per_socket: int = Field(
        1000,
        ge=1,
        description="rooms that one socket may be in, besides its user's and organization's",
    )
    max_sockets_per_user: int = Field(
        50,
        ge=0,
        description="sockets that one user may have on all replicas; one more closes the oldest; 0 is no limit",
    )
    max_sockets_per_address: int = Field(
        0,
        ge=0,
        description="sockets that one address may have on this replica; 0 is no limit; behind a proxy that is "
        "not in `GATEWAY_TRUSTED_PROXIES`, all clients have one address",
    )
    max_http_connections: int = Field(
        0,
        ge=0,
        description="connections on this replica that are not websockets, including long-polling; one more "
        "closes one that waits for a request; 0 is half of the files that may be open",
    )
    connects_per_s: float = Field(
        2000.0,
        ge=0,
        description="new connections per second on this replica, and as many in a burst; 0 is no limit",
    )
    max_pending_connects: int = Field(
        4000,
        ge=0,
        description="sockets on this replica that may wait for authentication at a time; 0 is no limit",
    )
    events_per_s: float = Field(
        50.0,
        ge=0,
        description="events per second that one socket may send all the time; 0 is no limit",
    )
    events_burst: int = Field(
        500,
        ge=1,
        description="events that one socket may send at once; more are refused, and after as many more it is "
        "closed",
    )
    max_waiting_questions: int = Field(
        5000,
        ge=1,
        description="joins with `since` or `history`, and questions about presence, that may wait for their turn "
        "on this replica, per organization; two are answered at a time",
    )

    @property
    def max_event_bytes(self) -> int:
        """Return the bytes of the largest event that a socket gets; the rest of the buffer is for others."""
        return self.max_buffer_bytes // 2
