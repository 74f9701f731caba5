"""The shapes of requests and answers. They are checked by these, and the OpenAPI document is made of them.

Names, limits and words are the publisher's own.
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
    """Something with these fields, of these types, and nothing else."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    as_it_is: ClassVar[tuple[str, ...]] = ()
    """Fields whose JSON is passed on, not read."""


def _uuid(value: str, field: ValidationInfo) -> str:
    return uuid_text(value, field.field_name or "id")


def _split(value: Any) -> Any:
    """Take `a,b` apart, and `?x=a&x=b,c` just as well."""
    texts = value if isinstance(value, list) else [value]
    return [item for text in texts for item in text.split(",") if item] if value else value


Uuid = Annotated[str, AfterValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]
UserId = Annotated[
    str,
    AfterValidator(user_text),
    WithJsonSchema({"type": "string", "description": "a UUID, or whatever the token's `sub` holds"}),
]
RoomName = Annotated[
    str,
    AfterValidator(parse_room),
    WithJsonSchema({"type": "string", "description": "`<kind>:<id>`, such as `conversation:<uuid>`"}),
]
SkipSid = Annotated[str | None, Field(description="sid of the one socket that does not get it: the sender's own")]


# -- verbs


class Event(Model):
    """One event, for everyone in one or more rooms; who is in two of them gets it once."""

    as_it_is: ClassVar[tuple[str, ...]] = ("data",)

    organization_id: Uuid
    event: Annotated[str, Field(pattern=f"^(?:{EVENT_NAME.pattern})$")]
    data: Annotated[Any, Field(description="any JSON value; it arrives as it was written")]
    to: Annotated[list[RoomName], Field(min_length=1, max_length=MAX_ROOMS)]
    key: Annotated[
        str | None,
        Field(max_length=200, description="published once under it within ten minutes, however often it is sent"),
    ] = None
    version: Annotated[
        int | None, Field(ge=0, lt=2**53, description="with `key`: what is older than the last one is dropped")
    ] = None
    skip_sid: SkipSid = None
    ephemeral: Annotated[bool, Field(description="delivered at most once, never replayed")] = False
    conflate: Annotated[
        str | None,
        Field(max_length=200, description="of the events under it a socket gets a few a second, and the last one"),
    ] = None


class MessageNew(Model):
    """`message:new`, to the conversation of the message, once for each `id` in it."""

    organization_id: Uuid
    message: Annotated[dict[str, Any], Field(description="with `conversation_id`, and an `id`")]
    skip_sid: SkipSid = None
    inbox: Annotated[
        bool | list[UserId],
        Field(description="true tells the organization with `conversation:updated`, ids of users tell them alone"),
    ] = False
    unread: Annotated[int | None, Field(ge=0, description="goes along with `inbox`")] = None


class MessageStatus(Model):
    """`message:status`, to the conversation; it never goes back to an earlier status."""

    organization_id: Uuid
    conversation_id: Uuid
    message_id: Uuid
    status: Status
    timestamp: Annotated[str | None, Field(description="ISO 8601; now where there is none")] = None


class UnreadUpdate(Model):
    """`conversation:unread_update`, to one user."""

    organization_id: Uuid
    user_id: UserId
    conversation_id: Uuid
    unread_count: Annotated[int, Field(ge=0)]


class NotificationNew(Model):
    """`notification:new`, to one user, once for each `notification_id` in it."""

    organization_id: Uuid
    user_id: UserId
    notification: Annotated[dict[str, Any], Field(description="with a `notification_id`")]


class CampaignProgress(Model):
    """`campaign:progress`, to everyone who watches the campaign."""

    organization_id: Uuid
    campaign_id: Uuid
    progress: dict[str, Any]
    conflate: bool = False


class Disconnect(Model):
    """Close every socket of a user, on every replica, for good."""

    organization_id: Uuid
    user_id: UserId
    token_id: Annotated[
        str | None, Field(description="only the sockets of the token with this `jti`, which is void from now on")
    ] = None
    issued_before: Annotated[
        AwareDatetime | None,
        Field(strict=False, description="only those of tokens issued before, which are void from now on"),
    ] = None


class Leave(Model):
    """Take a room away from every socket of a user, on every replica; recovery does not give it back."""

    organization_id: Uuid
    user_id: UserId
    room: RoomName
    block_s: Annotated[
        float,
        Field(
            ge=0,
            le=MAX_BLOCK_S,
            description="seconds for which the user's joins of the room are `forbidden`; with 0 the next join is "
            "allowed, unless GATEWAY_AUTHORIZE_URL or a role says no, and a block that was there is over",
        ),
    ] = 0.0


class Receipt(Model):
    """The outcome of a publish."""

    offset: Annotated[
        str | None,
        Field(
            description="where it stands in the organization's history; null of a duplicate whose first event was "
            "published longer ago than keys hold"
        ),
    ]
    duplicate: Annotated[
        bool, Field(description="nothing was sent: the key was known; `offset` is of the first event under it")
    ]
    queued: Annotated[Literal[False], Field(description="never true here: without Redis the answer is 503")]


# -- questions


class PresenceQuery(Model):
    """The users who are online: all of an organization, or those among some users."""

    organization_id: Uuid
    user_ids: Annotated[
        list[UserId] | None,
        BeforeValidator(_split),
        Field(max_length=MAX_USERS, description="separated by commas; all users where there are none"),
    ] = None


class Presence(Model):
    """The users with a socket on any replica."""

    online: list[UserId]


class RoomQuery(Model):
    """A room as it is now."""

    room: RoomName
    organization_id: Uuid
    history: Annotated[
        int, Field(strict=False, ge=0, le=MAX_HISTORY, description="give so many of the newest events, too")
    ] = 0


class PastEvent(Model):
    """One event of a room's history."""

    event: str
    data: Any
    offset: str


class RoomNow(Model):
    """A room as this replica and Redis know it."""

    room: RoomName
    members: Annotated[int, Field(description="sockets in it on the replica that answers")]
    replicas: Annotated[int, Field(description="replicas that listen to it, because they have a socket in it")]
    offset: Annotated[str | None, Field(description="of the newest event; null where none is kept")]
    kept: Annotated[int, Field(description="events that its history holds")]
    events: Annotated[list[PastEvent], Field(description="the newest ones asked for, oldest first")]


# -- refusals


class FieldError(Model):
    """The error of one field."""

    field: Annotated[str, Field(description="its name; in a batch after the number of the event, from 0 on")]
    message: str


class Error(Model):
    """Why not."""

    code: str
    message: str
    errors: list[FieldError] = []
