"""The requests of a browser about rooms and people, and the answers."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta

from publisher.events.fields import Absent, Count, OffsetText, Payload, RoomName, UserId, Uuid


class JoinOptions(Payload, kw_only=True):
    """The options of a join about the room's history."""

    since: (
        Annotated[
            OffsetText, Meta(description="everything after it, which was seen earlier, comes with the answer")
        ]
        | Absent
    ) = UNSET
    history: Annotated[Count, Meta(description="the last n events come with the answer")] | Absent = UNSET


class JoinConversation(JoinOptions, kw_only=True):
    """Join a conversation; who is in it already stays in, and gets an answer all the same."""

    conversation_id: Uuid


class JoinRoom(JoinOptions, kw_only=True):
    """Join a room of another kind (`GATEWAY_ROOM_KINDS`)."""

    room: RoomName


class PastEvent(Payload, kw_only=True):
    """An event out of a room's history."""

    event: str
    data: Any
    offset: OffsetText


class Joined(Payload, kw_only=True):
    """The answer to a join."""

    message: str
    offset: Annotated[OffsetText, Meta(description="the socket is in the room from here on")]
    events: Annotated[list[PastEvent], Meta(description="oldest first")]
    complete: Annotated[
        bool,
        Meta(description="whether the history reaches back to `since`; where not, load from the REST API"),
    ]


class JoinedConversation(Joined, kw_only=True):
    """The socket is in a conversation."""

    conversation_id: Uuid


class JoinedRoom(Joined, kw_only=True):
    """The socket is in a room."""

    room: RoomName


class ConversationRef(Payload, kw_only=True):
    """Names a conversation."""

    conversation_id: Uuid


class LeftConversation(Payload, kw_only=True):
    """The socket is not in a conversation any more: it asked to leave, or was put out."""

    conversation_id: Uuid


class RoomRef(Payload, kw_only=True):
    """Names a room."""

    room: RoomName


class LeftRoom(Payload, kw_only=True):
    """The socket is not in a room any more: it asked to leave, or was put out."""

    room: RoomName


class PresenceQuery(Payload, kw_only=True):
    """A question for the users who are online, all or some, or for those who view a conversation."""

    user_ids: Annotated[list[UserId], Meta(max_length=1000)] | Absent = UNSET
    conversation_id: Annotated[Uuid, Meta(description="one that the socket is in")] | Absent = UNSET


class Presence(Payload, kw_only=True):
    """`online` for a question about users, the others for one about a conversation."""

    online: list[UserId] | Absent = UNSET
    conversation_id: Uuid | Absent = UNSET
    user_ids: list[UserId] | Absent = UNSET
    sockets: Count | Absent = UNSET
    typing: list[UserId] | Absent = UNSET


class Nothing(Payload, kw_only=True):
    """Nothing."""
