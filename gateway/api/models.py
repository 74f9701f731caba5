"""The models of requests and answers. They check requests, and the OpenAPI document is made of them.

Names, limits and terms are those of the publisher.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
)

from publisher.envelope import EVENT_NAME, MAX_ROOMS
from publisher.events import Status
from publisher.rooms import parse_room, user_text, uuid_text
from publisher.verbs import MAX_BLOCK_S

MAX_USERS = 1000
MAX_HISTORY = 100_000


class Model(BaseModel):
    """Base of all models: strict types, and no other fields than those declared."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    as_it_is: ClassVar[tuple[str, ...]] = ()
    """Fields whose JSON is forwarded without decoding."""


def _uuid(value: str, field: ValidationInfo) -> str:
    return uuid_text(value, field.field_name or "id")


def _split(value: Any) -> Any:
    """Return the items of `a,b`, or of a repeated parameter like `?x=a&x=b,c`."""
    texts = value if isinstance(value, list) else [value]
    return [item for text in texts for item in text.split(",") if item] if value else value


Uuid = Annotated[str, AfterValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]
UserId = Annotated[
    str,
    AfterValidator(user_text),
    WithJsonSchema({"type": "string", "description": "the `sub` of the user's tokens: a UUID or another id"}),
]
RoomName = Annotated[
    str,
    AfterValidator(parse_room),
    WithJsonSchema({"type": "string", "description": "`<kind>:<id>`, such as `conversation:<uuid>`"}),
]
SkipSid = Annotated[
    str | None, Field(description="sid of one socket that does not get the event: the sender's own")
]


# -- verbs


class Event(Model):
    """One event for all members of one or more rooms; a member of several of them gets it once."""

    as_it_is: ClassVar[tuple[str, ...]] = ("data",)

    organization_id: Uuid
    event: Annotated[str, Field(pattern=f"^(?:{EVENT_NAME.pattern})$")]
    data: Annotated[Any, Field(description="any JSON value; clients get it unchanged")]
    to: Annotated[list[RoomName], Field(min_length=1, max_length=MAX_ROOMS)]
    key: Annotated[
        str | None,
        Field(
            max_length=200,
            description="idempotency key: without `version`, one event with it is published in ten minutes",
        ),
    ] = None
    version: Annotated[
        int | None,
        Field(
            ge=0,
            lt=2**53,
            description="with `key`: an event is dropped unless its version is above the last one of the key",
        ),
    ] = None
    skip_sid: SkipSid = None
    ephemeral: Annotated[
        bool, Field(description="whether the event is delivered at most once and never replayed")
    ] = False
    conflate: Annotated[
        str | None,
        Field(
            max_length=200,
            description="conflation key: a socket gets only the latest event of each key, a few times a second",
        ),
    ] = None


class MessageNew(Model):
    """Publish `message:new` to the message's conversation; a second one with the same `id` is a duplicate."""

    organization_id: Uuid
    message: Annotated[
        dict[str, Any], Field(description="the payload of `message:new`, with `conversation_id` and `id`")
    ]
    skip_sid: SkipSid = None
    inbox: Annotated[
        bool | list[UserId],
        Field(
            description="recipients of `conversation:updated`: true for everyone of the organization, or a list "
            "of user ids"
        ),
    ] = False
    unread: Annotated[
        int | None,
        Field(ge=0, description="number of unread messages, for the `unread` of `conversation:updated`"),
    ] = None


class MessageStatus(Model):
    """`message:status`, to the conversation; it never goes back to an earlier status."""

    organization_id: Uuid
    conversation_id: Uuid
    message_id: Uuid
    status: Status
    timestamp: Annotated[str | None, Field(description="ISO 8601; the time of the request by default")] = None


class UnreadUpdate(Model):
    """Publish `conversation:unread_update` to one user."""

    organization_id: Uuid
    user_id: UserId
    conversation_id: Uuid
    unread_count: Annotated[int, Field(ge=0)]


class NotificationNew(Model):
    """Publish `notification:new` to one user; a second one with the same `notification_id` is a duplicate."""

    organization_id: Uuid
    user_id: UserId
    notification: Annotated[
        dict[str, Any], Field(description="the payload of `notification:new`, with `notification_id`")
    ]


class CampaignProgress(Model):
    """`campaign:progress`, to all members of the campaign's room."""

    organization_id: Uuid
    campaign_id: Uuid
    progress: dict[str, Any]
    conflate: bool = False


class Disconnect(Model):
    """Close all sockets of a user on all replicas; they do not recover."""

    organization_id: Uuid
    user_id: UserId
    token_id: Annotated[
        str | None, Field(description="close only the sockets of the token with this `jti`, and revoke the token")
    ] = None
    issued_before: Annotated[
        AwareDatetime | None,
        Field(
            strict=False,
            description="close only the sockets of tokens issued before this time, and revoke these tokens",
        ),
    ] = None


class Leave(Model):
    """Remove all sockets of a user from a room, on all replicas; a recovery does not bring them back."""

    organization_id: Uuid
    user_id: UserId
    room: RoomName
    block_s: Annotated[
        float,
        Field(
            ge=0,
            le=MAX_BLOCK_S,
            description="seconds for which the user's joins of the room are `forbidden`; 0 ends an earlier block: "
            "the next join is allowed unless GATEWAY_AUTHORIZE_URL or GATEWAY_ROOM_ROLES forbids it",
        ),
    ] = 0.0


class Receipt(Model):
    """The outcome of a publish."""

    offset: Annotated[
        str | None,
        Field(
            description="position of the event in the organization's history; of a duplicate, that of the first "
            "event with its key, or null if the key has expired"
        ),
    ]
    duplicate: Annotated[
        bool,
        Field(
            description="true if nothing was published, because an event with the same key (with `version`: of "
            "the same or a later version) was published before"
        ),
    ]
    queued: Annotated[
        Literal[False],
        Field(description="always false: the API has no buffer, and answers 503 while Redis is unavailable"),
    ]


# -- queries


class PresenceQuery(Model):
    """Query the users who are online: all of an organization, or those in a list."""

    organization_id: Uuid
    user_ids: Annotated[
        list[UserId] | None,
        BeforeValidator(_split),
        Field(
            max_length=MAX_USERS,
            description="comma-separated ids of users; all users by default",
        ),
    ] = None


class Presence(Model):
    """The users who are online: they have a socket on any replica."""

    online: list[UserId]


class RoomQuery(Model):
    """Query the present state of a room."""

    room: RoomName
    organization_id: Uuid
    history: Annotated[
        int, Field(strict=False, ge=0, le=MAX_HISTORY, description="number of the newest events to return")
    ] = 0


class PastEvent(Model):
    """One event of a room's history."""

    event: str
    data: Any
    offset: str


class RoomNow(Model):
    """The present state of a room, from this replica and Redis."""

    room: RoomName
    members: Annotated[int, Field(description="number of sockets in the room on the replica that answers")]
    replicas: Annotated[
        int, Field(description="number of replicas that listen to the room, because they have a socket in it")
    ]
    offset: Annotated[str | None, Field(description="offset of the newest event; null if none is known")]
    kept: Annotated[int, Field(description="number of events in the room's history")]
    events: Annotated[
        list[PastEvent], Field(description="the newest events, as many as `history` asks for, oldest first")
    ]


# -- refusals


class FieldError(Model):
    """The error of one field."""

    field: Annotated[
        str, Field(description="name of the field; in a batch it begins with the index of the event, from 0")
    ]
    message: str


class Error(Model):
    """A refusal: its code, its message, and the fields that are wrong."""

    code: str
    message: str
    errors: list[FieldError] = []
