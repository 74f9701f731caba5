"""The events of gateways about presence. None is replayed; a returning socket gets the current state instead."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from publisher.events.fields import Count, Payload, UserId, Uuid


class UserTyping(Payload, kw_only=True):
    """A user types in a conversation, or has stopped."""

    conversation_id: Uuid
    user_id: UserId
    typing: bool


class UserStatus(Payload, kw_only=True):
    """A user came online with the first socket, or went offline with the last one."""

    user_id: UserId
    status: Literal["online", "offline"]


class UserStatuses(Payload, kw_only=True):
    """Many changes at once, instead of many `user:status`, for sockets that connected with `statuses: true`."""

    online: list[UserId]
    offline: list[UserId]


class ConversationViewers(Payload, kw_only=True):
    """The users who have a conversation open."""

    conversation_id: Uuid
    user_ids: Annotated[list[UserId], Meta(description="at most 50 of the users")]
    sockets: Annotated[Count, Meta(description="sockets of all the users: one for each tab")]
