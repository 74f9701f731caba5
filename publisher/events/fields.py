"""The types of payloads' fields. `extra["name"]` is a type's name in TypeScript."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, get_args
from uuid import UUID

from msgspec import Meta, Struct, UnsetType

Uuid = UUID
UserId = Annotated[
    str, Meta(min_length=1, max_length=128, description="the `sub` of the user's tokens, such as a UUID")
]
Timestamp = Annotated[
    datetime,
    Meta(tz=True, description="ISO 8601, with a time zone", extra={"name": "Timestamp"}),
]
OffsetText = Annotated[
    str,
    Meta(
        pattern="^[a-z0-9]{1,16}-[0-9]{1,16}$",
        description="an event's place in its organization's history: `<epoch>-<seq>`",
        extra={"name": "Offset"},
    ),
]
RoomName = Annotated[str, Meta(max_length=192, description="`<kind>:<id>`, such as `campaign:<uuid>`")]
Count = Annotated[int, Meta(ge=0)]

Status = Literal["sent", "delivered", "read", "failed"]
Reason = Literal["expired", "unknown", "epoch", "trimmed", "identity"]
LOSS_REASONS = get_args(Reason)
LossReason = Annotated[
    Reason,
    Meta(description="the reason why the client's session could not be recovered", extra={"name": "LossReason"}),
]

# A field that may be missing. `null` is not the same, and allowed only where a type says so.
Absent = UnsetType


class Payload(Struct):
    """The payload of an event. It may have more keys than its type names; they are passed on."""
