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
    """Subscribe a member's rooms, as `RoomSubscriptions.subscribe` does.

    If the user's own room was not subscribed before, cached access of the user is dropped, as it may be outdated.
    """
    tenant, user_id = member.tenant, member.identity.user_id
    was_heard = user(user_id) in tenant.rooms
    rooms = await members.subscriptions.subscribe(tenant, names)
    if not was_heard:
        members.access.invalidate(tenant.id, user_id)
    return rooms


async def check_status(members: Members, member: Member, rooms: Mapping[Room, int]) -> None:
    """Raise `Unavailable` if the member missed a control message; the next claim of its session heeds it.

    The user's own room, where control messages come, may not have been subscribed yet. Without this check, two
    sockets could have one session after another claim, and a revoked room could be given back.
    """
    who = [(member.pid, member.identity.user_id)]
    (status,) = await members.sessions.statuses(member.tenant.id, who)
    if status.generation > member.generation or status.ended:
        raise Unavailable
    if any(rooms.get(name, seq) < seq for name, seq in status.taken):
        raise Unavailable


def greeting(identity: Identity, offset: Offset, *, recovered: bool, reason: str | None = None) -> Frame:
    """Return the event `connected`, with the offset that a client comes back with until it gets a newer one."""
    data: dict[str, Any] = {"message": "Connected", "user_id": identity.user_id, "recovered": recovered}
    if reason is not None:
        data["reason"] = reason
    return Frame(packets.event("connected", data, str(offset)))
