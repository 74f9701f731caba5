"""The events of gateways about people. None is replayed; a returning socket is told the state of that moment."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from publisher.events.fields import Count, Payload, UserId, Uuid


class UserTyping(Payload, kw_only=True):
    """Somebody else types in a conversation, or does not any more."""

    conversation_id: Uuid
    user_id: UserId
    typing: bool


class UserStatus(Payload, kw_only=True):
    """A user came or went, with the first or the last of their sockets."""

    user_id: UserId
    status: Literal["online", "offline"]


class UserStatuses(Payload, kw_only=True):
    """Many changes at once, in place of as many `user:status`, for pages that say they take it."""

    online: list[UserId]
    offline: list[UserId]


class ConversationViewers(Payload, kw_only=True):
    """The users who have a conversation open."""

    conversation_id: Uuid
    user_ids: Annotated[list[UserId], Meta(description="so many of them as are named")]
    sockets: Annotated[Count, Meta(description="all of their tabs")]
