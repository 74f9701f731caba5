"""The verbs that both publishers and the outbox share; they differ only in how they send an envelope.

A verb returns an `R`: a `Receipt`, or a coroutine of one. Every verb checks its arguments at the call
and raises `InvalidEvent` there, before anything is awaited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from msgspec import UNSET, Struct
from msgspec.structs import asdict

from publisher.envelope import MAX_ROOMS, Envelope, Options, build_control, build_event
from publisher.errors import InvalidEvent
from publisher.preview import summary
from publisher.rooms import Id, Room, campaign, conversation, organization, parse_room, user, uuid_text

if TYPE_CHECKING:
    from publisher.events import CampaignProgress, MessageNew, NotificationNew

R = TypeVar("R")

MAX_TOKEN_ID = 128
MAX_BLOCK_S = 30 * 86_400

# A later status has a higher version, so a message that was read never falls back to delivered. A failure
# is final, and hiding it would be worst, so it has the highest.
STATUS_VERSION = {"sent": 1, "delivered": 2, "read": 3, "failed": 4}


class Receipt(NamedTuple):
    """The outcome of a publish."""

    offset: str | None
    """The event's place in the tenant's history; None if the event waits in the buffer or was lost."""
    duplicate: bool = False
    """Whether Redis published nothing, as it knew the key or a later version. `offset` is then that of the earlier
    event, or None if Redis no longer knows it."""
    queued: bool = False
    """Whether Redis has not answered in time: the event waits in the buffer, and is sent in order later."""
    refused: str = ""
    """Reason why the event can never be published: `too_large` for gateways to deliver. Empty if it can be."""


class Verbs(Generic[R]):
    """The domain events of the contract, and `emit` for any other."""

    _options: Options

    def _send(self, envelope: Envelope) -> R:
        raise NotImplementedError

    def emit(
        self,
        organization_id: Id,
        event: str,
        data: Any,
        *,
        to: Room | str | Iterable[Room | str],
        key: str | None = None,
        version: int | None = None,
        skip_sid: str | None = None,
        ephemeral: bool = False,
        conflate: str | None = None,
    ) -> R:
        """Publish any event to one or more rooms; a socket that is in two of them gets it once.

        Calls with the same `key` publish only once within `Options.once_ttl_s`. With `version`, an event is
        dropped unless it is newer than the last one under that key. `skip_sid` is a socket that does not get
        the event, usually the sender's own. An `ephemeral` event is delivered at most once and never replayed.

        `conflate` is a key for events that only count in their latest state, such as progress. A socket gets a
        few events a second under it (`GATEWAY_CONFLATE_PER_S`), and always the last one, even after it was away.
        """
        return self._send(
            build_event(
                organization_id,
                event,
                data,
                to,
                self._options,
                key=key,
                version=version,
                skip_sid=skip_sid,
                ephemeral=ephemeral,
                conflate=conflate,
            )
        )

    def message_new(
        self,
        organization_id: Id,
        message: Mapping[str, Any] | MessageNew,
        *,
        skip_sid: str | None = None,
        inbox: bool | Id | Iterable[Id] = False,
        unread: int | None = None,
    ) -> R:
        """Publish `message:new` to the message's conversation, once for each message `id`.

        With `inbox` a small `conversation:updated` follows it in the same step: to everyone of the organization
        (True), or to these users only. It shows the beginning of the message's text, so name the users if not
        everyone may read it. It also carries `unread`. Each of the two events is published once; the receipt is
        that of `message:new`. The socket `skip_sid` still gets `conversation:updated`.
        """
        message = _mapping(message, "message")
        room = conversation(_field(message, "message", "conversation_id"))
        ident = message.get("id")
        key = None if ident is None else f"message:new:{ident}"
        options = self._options
        new = build_event(organization_id, "message:new", message, room, options, key=key, skip_sid=skip_sid)
        rooms = _inboxes(organization_id, inbox)
        if unread is not None:
            _check_count(unread, "unread")
        if not rooms:
            return self._send(new)
        data = summary(room.partition(":")[2], message, unread)
        key = None if ident is None else f"conversation:updated:{ident}"
        also = build_event(organization_id, "conversation:updated", data, rooms, options, key=key)
        return self._send(replace(new, also=also))

    def message_status(
        self,
        organization_id: Id,
        conversation_id: Id,
        message_id: Id,
        status: str,
        timestamp: datetime | str | None = None,
    ) -> R:
        """Publish `message:status`: sent, delivered, read or failed; a status before the last one is dropped."""
        status = getattr(status, "value", status)  # of an enum
        if not isinstance(status, str) or status not in STATUS_VERSION:
            raise InvalidEvent(f"status must be one of {', '.join(STATUS_VERSION)}, not {status!r:.40}")
        data = {
            "message_id": message_id,
            "status": status,
            "timestamp": timestamp or datetime.now(UTC),
            "conversation_id": uuid_text(conversation_id, "conversation_id"),
        }
        key = f"message:status:{uuid_text(message_id, 'message_id')}"
        return self.emit(
            organization_id,
            "message:status",
            data,
            to=conversation(conversation_id),
            key=key,
            version=STATUS_VERSION[status],
        )

    def unread_update(self, organization_id: Id, user_id: Id, conversation_id: Id, unread_count: int) -> R:
        """Publish `conversation:unread_update` to one user."""
        _check_count(unread_count, "unread_count")
        ident = uuid_text(conversation_id, "conversation_id")
        data = {"conversation_id": ident, "unread_count": unread_count}
        return self.emit(organization_id, "conversation:unread_update", data, to=user(user_id))

    def notification_new(
        self, organization_id: Id, user_id: Id, notification: Mapping[str, Any] | NotificationNew
    ) -> R:
        """Publish `notification:new` to one user, once for each `notification_id`."""
        notification = _mapping(notification, "notification")
        ident = _field(notification, "notification", "notification_id")
        key = f"notification:new:{ident}"
        return self.emit(organization_id, "notification:new", notification, to=user(user_id), key=key)

    def campaign_progress(
        self,
        organization_id: Id,
        campaign_id: Id,
        progress: Mapping[str, Any] | CampaignProgress,
        *,
        conflate: bool = False,
    ) -> R:
        """Publish `campaign:progress` to the campaign's room, with the campaign's id and, if missing, the time.

        With `conflate`, a browser gets only a few of a hundred reports a second, and always the last one.
        """
        room = campaign(campaign_id)
        progress = _mapping(progress, "progress")
        data = {"timestamp": datetime.now(UTC), **progress, "campaign_id": room.partition(":")[2]}
        return self.emit(organization_id, "campaign:progress", data, to=room, conflate=room if conflate else None)

    def disconnect_user(
        self,
        organization_id: Id,
        user_id: Id,
        *,
        token_id: str | None = None,
        issued_before: datetime | None = None,
    ) -> R:
        """Close every socket of a user on every replica; none of their sessions can be recovered.

        The browsers get a Socket.IO DISCONNECT, after which socket.io-client does not reconnect by itself; a page
        with a valid token may connect again. `token_id` closes only the sockets of the token with that `jti`, and
        revokes it. `issued_before`, an aware datetime, does so with all tokens issued earlier; a token without
        `iat` counts as old. Both hold on every replica, for `revoked_ttl_s`.
        """
        command: dict[str, Any] = {"do": "disconnect"}
        revoke, value = "*", ""
        if token_id is not None and issued_before is not None:
            raise InvalidEvent("give token_id or issued_before, not both")
        if token_id is not None:
            if not isinstance(token_id, str) or not 1 <= len(token_id) <= MAX_TOKEN_ID:
                raise InvalidEvent(f"token_id must be a text of 1 to {MAX_TOKEN_ID} characters")
            command["token_id"] = token_id
            revoke = f"token/{token_id}"
        elif issued_before is not None:
            if not isinstance(issued_before, datetime) or issued_before.tzinfo is None:
                raise InvalidEvent("issued_before must be a datetime with a time zone")
            command["issued_before"] = issued_before.timestamp()
            revoke, value = "before", f"{issued_before.timestamp():.3f}"
        control = build_control(organization_id, user_id, command, self._options, revoke=revoke, value=value)
        return self._send(control)

    def leave_room(self, organization_id: Id, user_id: Id, room: Room | str, *, block_s: float = 0.0) -> R:
        """Remove every socket of a user from a room, on every replica; a recovery does not restore the room.

        For `block_s` seconds, at most 30 days, the user's joins of the room are `forbidden`. With 0 the user may
        join again, if the backend (`GATEWAY_AUTHORIZE_URL`) and the user's role allow it. The last of several
        calls counts: 0 also ends a block.
        """
        name = parse_room(room)
        if isinstance(block_s, bool) or not isinstance(block_s, (int, float)) or not 0 <= block_s <= MAX_BLOCK_S:
            raise InvalidEvent(f"block_s must be a number of seconds from 0 to {MAX_BLOCK_S}")
        command = {"do": "leave", "room": name}
        block = (name, float(block_s))
        return self._send(
            build_control(organization_id, user_id, command, self._options, revoke=name, block=block)
        )


def _inboxes(organization_id: Id, inbox: bool | Id | Iterable[Id]) -> list[Room]:
    """Return the rooms that get `conversation:updated`: the organization's, or those of some users."""
    if isinstance(inbox, bool):
        return [organization(organization_id)] if inbox else []
    if isinstance(inbox, (bytes, Mapping)) or not isinstance(inbox, (str, UUID, Iterable)):
        raise InvalidEvent("inbox must be True, False, or ids of users")
    users = [inbox] if isinstance(inbox, (str, UUID)) else list(inbox)
    if len(users) > MAX_ROOMS:
        raise InvalidEvent(f"inbox must name at most {MAX_ROOMS} users, not {len(users)}; True tells all")
    return [user(ident) for ident in users]


def _check_count(value: int, name: str) -> None:
    if type(value) is not int or value < 0:
        raise InvalidEvent(f"{name} must be an int, 0 or more")


def _mapping(value: Mapping[str, Any] | Struct, what: str) -> Mapping[str, Any]:
    """Return a payload as a mapping; of a struct from `publisher.events`, only the fields that are set."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Struct):
        return {name: given for name, given in asdict(value).items() if given is not UNSET}
    raise InvalidEvent(f"{what} must be a mapping, not {type(value).__name__}")


def _field(mapping: Mapping[str, Any], what: str, name: str) -> Any:
    if mapping.get(name) is None:
        raise InvalidEvent(f"{what} has no {name}")
    return mapping[name]
