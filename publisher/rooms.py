"""Rooms: the names that events are published for.

A room is a string `<kind>:<id>`. It belongs to one tenant, which is never part of its name: the same
name under two tenants is two rooms. Ids are UUIDs, except that of a `user`: it is the token's `sub`,
which matches `OPAQUE_ID`.

A UUID in text must have its canonical form, 8-4-4-4-12 hexadecimal digits. Python's `UUID` also accepts `0x...`,
`+...`, `..._...` and digits of other scripts, and reads each as some other id.
"""

from __future__ import annotations

import re
from typing import NewType
from uuid import UUID

from publisher.errors import InvalidEvent

Room = NewType("Room", str)
Id = str | UUID

KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")
OPAQUE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._|@+-]{0,127}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def uuid_text(value: Id, name: str) -> str:
    """Return a UUID in canonical form and lower case; else raise `InvalidEvent`, which names the argument."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str) and _UUID.fullmatch(value):
        return value.lower()
    raise InvalidEvent(f"{name} must be a UUID, not {_shown(value)}")


def user_text(value: Id, name: str = "user_id") -> str:
    """Return a user id as tokens carry it: a UUID in lower case or an opaque id as it is."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str) and OPAQUE_ID.fullmatch(value):
        return value.lower() if _UUID.fullmatch(value) else value
    raise InvalidEvent(f"{name} must be a UUID or an id of letters, digits and ._|@+-, not {_shown(value)}")


def conversation(conversation_id: Id) -> Room:
    """Return the room of all sockets that have joined this conversation."""
    return Room("conversation:" + uuid_text(conversation_id, "conversation_id"))


def user(user_id: Id) -> Room:
    """Return the room of all sockets of one user, on any page."""
    return Room("user:" + user_text(user_id))


def organization(organization_id: Id) -> Room:
    """Return the room of all sockets of a tenant."""
    return Room("organization:" + uuid_text(organization_id, "organization_id"))


def campaign(campaign_id: Id) -> Room:
    """Return the room of all sockets that have joined this campaign."""
    return Room("campaign:" + uuid_text(campaign_id, "campaign_id"))


def parse_room(name: object) -> Room:
    """Return a room's name in canonical spelling; raise `InvalidEvent` if it is not `<kind>:<id>`."""
    if not isinstance(name, str) or len(name) > 192:
        raise InvalidEvent(f"a room is a string such as 'campaign:<uuid>', not {_shown(name)}")
    kind, colon, ident = name.partition(":")
    if not colon or not KIND.fullmatch(kind):
        raise InvalidEvent(f"a room is named '<kind>:<id>', not {_shown(name)}")
    if kind == "user":
        return user(ident)
    return Room(f"{kind}:{uuid_text(ident, kind + ' id')}")


def room_kind(room: Room) -> str:
    """Return a room's kind, the part before the colon."""
    return room.partition(":")[0]


def _shown(value: object) -> str:
    """Return a rejected value for an error message, at most 60 characters of it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
