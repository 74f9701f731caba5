"""Removal of a socket from a room that its user may not be in any longer."""

from __future__ import annotations

from gateway.core.frames import Frame
from gateway.core.model import Member
from gateway.sockets import packets
from gateway.sockets.members import Members
from gateway.sockets.session_changes import remove_room_later
from publisher.rooms import Room


def remove_from_room(members: Members, member: Member, name: Room) -> None:
    """Remove a socket from a room, also for later recoveries, and tell it; does nothing if it is not in it."""
    room = member.tenant.rooms.get(name)
    if room is None or room not in member.rooms:
        return
    members.leave_room(member, room)
    member.give(left_event(name))
    remove_room_later(members, member, name)


def left_event(name: Room) -> Frame:
    """Return the event that tells a socket that it has left a room."""
    kind, _, ident = name.partition(":")
    if kind == "conversation":
        return Frame(packets.event("left_conversation", {"conversation_id": ident}))
    return Frame(packets.event("left_room", {"room": name}))
