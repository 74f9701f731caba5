"""The steps that a first connect and a recovery share: subscribing, checking the session, greeting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.core.frames import Frame
from gateway.core.model import Identity, Member, RoomState
from gateway.errors import Unavailable
from gateway.sockets import packets
from gateway.sockets.members import Members
from publisher import Offset
from publisher.rooms import Room, user


async def subscribe(members: Members, member: Member, names: Iterable[Room]) -> list[RoomState]:
    """Have a member's rooms heard, as `RoomSubscriptions.open` does.

    Cached answers about its user are dropped if they are older than the subscription to the user's room.
    """
    tenant, user_id = member.tenant, member.identity.user_id
    was_heard = user(user_id) in tenant.rooms
    rooms = await members.subscriptions.subscribe(tenant, names)
    if not was_heard:
        members.access.invalidate(tenant.id, user_id)
    return rooms


async def check_status(members: Members, member: Member, rooms: Mapping[Room, int]) -> None:
    """Raise `Unavailable` for a member that missed a message about itself: its next claim knows what it said.

    Such messages come on the user's room, and it may not have been heard yet. A second claim would leave two
    sockets with one session, a room that was taken away would be given back.
    """
    who = [(member.pid, member.identity.user_id)]
    (status,) = await members.sessions.statuses(member.tenant.id, who)
    if status.generation > member.generation or status.ended:
        raise Unavailable
    if any(rooms.get(name, seq) < seq for name, seq in status.taken):
        raise Unavailable


def greeting(identity: Identity, offset: Offset, *, recovered: bool, reason: str | None = None) -> Frame:
    """Make `connected`, with the offset that a client has to come back with until it gets an event."""
    data: dict[str, Any] = {"message": "Connected", "user_id": identity.user_id, "recovered": recovered}
    if reason is not None:
        data["reason"] = reason
    return Frame(packets.event("connected", data, str(offset)))
