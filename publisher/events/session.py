"""The events between one socket and its gateway: connecting, tokens, failures."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta

from publisher.events.codes import AnyCode, ConnectCode
from publisher.events.fields import Absent, Count, LossReason, OffsetText, Payload, Timestamp, UserId


class ConnectAuth(Payload, kw_only=True):
    """The payload of CONNECT: `auth` of socket.io-client, which adds `pid` and `offset` by itself.

    The token may come as `Authorization: Bearer` instead, and is never read from the query string.
    """

    token: Annotated[str, Meta(description="a JWT with `sub`, `organization_id` and `exp`")] | Absent = UNSET
    pid: Annotated[str, Meta(description="private id of the session to recover")] | Absent = UNSET
    offset: Annotated[OffsetText, Meta(description="offset of the last event that came")] | Absent = UNSET
    statuses: (
        Annotated[bool, Meta(description="whether the socket takes `user:statuses`, not many `user:status`")]
        | Absent
    ) = UNSET


class ConnectAccepted(Payload, kw_only=True):
    """The gateway's answer to CONNECT, before any event."""

    sid: Annotated[str, Meta(description="id of the socket, for `skip_sid`")]
    pid: Annotated[str, Meta(description="private id, with which the socket's session is recovered")]


class ConnectErrorData(Payload, kw_only=True):
    """The reason for which a connection is refused."""

    code: ConnectCode


class ConnectError(Payload, kw_only=True):
    """The connection is refused. socket.io-client emits `connect_error`, and does not connect again by itself."""

    message: str
    data: ConnectErrorData


class Connected(Payload, kw_only=True):
    """The socket is connected, and has got all events that it missed, if a recovery was possible."""

    message: str
    user_id: UserId
    recovered: bool
    reason: LossReason | Absent = UNSET


class EventError(Payload, kw_only=True):
    """The reason for which an event failed."""

    code: AnyCode
    message: Annotated[str, Meta(description="the reason in words, for logs")]
    limit: Annotated[str, Meta(description="the limit that was hit, if one was")] | Absent = UNSET
    retry_after_ms: Count | Absent = UNSET


class EventFailed(EventError, kw_only=True):
    """An event failed that asked for no acknowledgement."""

    event: Annotated[str, Meta(description="its name; `connect` if the socket's user has too many sockets")]


class Failed(Payload, kw_only=True):
    """The acknowledgement of an event that failed."""

    ok: Annotated[bool, Meta(extra_json_schema={"const": False})]
    error: EventError


class AuthExpiring(Payload, kw_only=True):
    """The token ends within a minute: send `auth:refresh` before, or the socket is closed."""

    expires_at: Timestamp


class AuthRefresh(Payload, kw_only=True):
    """Replace the token by a new one of the same user and organization; rooms, id and history stay."""

    token: str


class AuthRefreshed(Payload, kw_only=True):
    """The new token is in use."""

    expires_at: Timestamp


class Pong(Payload, kw_only=True):
    """The gateway's time at which it answered a `ping`."""

    timestamp: Timestamp
