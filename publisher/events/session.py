"""The events between one socket and its gateway: connecting, tokens, failures."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta

from publisher.events.codes import AnyCode, ConnectCode
from publisher.events.fields import Absent, Count, LossReason, OffsetText, Payload, Timestamp, UserId


class ConnectAuth(Payload, kw_only=True):
    """The payload of CONNECT, `auth` in socket.io-client, which adds `pid` and `offset` by itself.

    The token may come as `Authorization: Bearer` instead, and is never read from the query string.
    """

    token: Annotated[str, Meta(description="a JWT with `sub`, `organization_id` and `exp`")] | Absent = UNSET
    pid: Annotated[str, Meta(description="of the session to recover")] | Absent = UNSET
    offset: Annotated[OffsetText, Meta(description="of the last event that was seen")] | Absent = UNSET
    statuses: (
        Annotated[
            bool, Meta(description="whether `user:statuses` may come; without it every user is told of alone")
        ]
        | Absent
    ) = UNSET


class ConnectAccepted(Payload, kw_only=True):
    """The CONNECT of the gateway, before any event."""

    sid: Annotated[str, Meta(description="of the socket: for `skip_sid`")]
    pid: Annotated[str, Meta(description="by which its session is recovered")]


class ConnectErrorData(Payload, kw_only=True):
    """Why a connection is refused."""

    code: ConnectCode


class ConnectError(Payload, kw_only=True):
    """CONNECT_ERROR: the connection is refused. socket.io-client has it as `connect_error`, and does not retry."""

    message: str
    data: ConnectErrorData


class Connected(Payload, kw_only=True):
    """The socket is in, and has been given all that it missed, if that was possible."""

    message: str
    user_id: UserId
    recovered: bool
    reason: LossReason | Absent = UNSET


class EventError(Payload, kw_only=True):
    """Why something failed."""

    code: AnyCode
    message: Annotated[str, Meta(description="a plain word, for logs")]
    limit: Annotated[str, Meta(description="the limit that was hit, where it was one")] | Absent = UNSET
    retry_after_ms: Count | Absent = UNSET


class EventFailed(EventError, kw_only=True):
    """An event without an acknowledgement failed."""

    event: Annotated[str, Meta(description="its name; `connect` when the socket is sent away for another")]


class Failed(Payload, kw_only=True):
    """The acknowledgement of an event that failed."""

    ok: Annotated[bool, Meta(extra_json_schema={"const": False})]
    error: EventError


class AuthExpiring(Payload, kw_only=True):
    """The token ends within a minute: send `auth:refresh`, or the socket is closed then."""

    expires_at: Timestamp


class AuthRefresh(Payload, kw_only=True):
    """A fresh token of the same user and organization: rooms, id and history stay."""

    token: str


class AuthRefreshed(Payload, kw_only=True):
    """The fresh token is in use."""

    expires_at: Timestamp


class Pong(Payload, kw_only=True):
    """The gateway's clock."""

    timestamp: Timestamp
