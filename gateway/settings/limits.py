"""The limits of one client. Each has a code that the client gets, and a metric."""

from __future__ import annotations

from pydantic import Field

from gateway.settings.common import Group


class Limits(Group):
    """The limits; 0 is none where the text says so."""

    connect_timeout_s: float = Field(
        10.0,
        gt=0,
        le=120,
        description="time a new socket has to authenticate",
    )
    request_timeout_s: float = Field(
        20.0,
        gt=0,
        le=300,
        description="time a client has for the head of an HTTP request, and again for its body",
    )
    max_header_bytes: int = Field(
        16_384,
        ge=8192,
        le=262_144,
        description="largest head of an HTTP request: its first line and all headers",
    )
    max_payload_bytes: int = Field(
        1_000_000,
        ge=1024,
        le=100_000_000,
        description="largest message, and largest polling body, that a client may send",
    )
    max_buffer_bytes: int = Field(
        1 << 20,
        ge=65_536,
        description="unsent bytes at which a slow client is cut, to come back and recover; an event may have half "
        "of that",
    )
    max_rooms_per_socket: int = Field(
        1000,
        ge=1,
        description="rooms that one socket may be in, besides its user's and organization's",
    )
    max_sockets_per_user: int = Field(
        50,
        ge=0,
        description="sockets of one user on all replicas; one more, and the oldest goes; 0 is no limit",
    )
    max_sockets_per_address: int = Field(
        0,
        ge=0,
        description="sockets from one address on this replica; 0 is no limit, as behind a proxy that is not in "
        "GATEWAY_TRUSTED_PROXIES everybody has the same address",
    )
    max_http_connections: int = Field(
        0,
        ge=0,
        description="connections on this replica that are no websockets, those of long-polling among them; with "
        "one more, one that waits for a request is closed; 0 is half of the files that may be open",
    )
    connects_per_s: float = Field(
        2000.0,
        ge=0,
        description="new connections a second on this replica, and as many in a burst; 0 is no limit",
    )
    max_pending_connects: int = Field(
        4000,
        ge=0,
        description="sockets on this replica that have not authenticated yet; 0 is no limit",
    )
    events_per_s: float = Field(
        50.0,
        ge=0,
        description="events a second that one socket may send for as long as it likes; 0 is no limit",
    )
    events_burst: int = Field(
        500,
        ge=1,
        description="events that it may send at once; beyond that they are refused, and after as many more it is "
        "closed",
    )
    max_waiting_questions: int = Field(
        5000,
        ge=1,
        description="joins with `since` or `history`, and questions about presence, of one organization that may "
        "wait on this replica for their turn; two are answered at a time",
    )

    @property
    def max_event_bytes(self) -> int:
        """Return the size of the largest event that a socket is given: beside it there is room for others."""
        return self.max_buffer_bytes // 2
