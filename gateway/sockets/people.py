"""Telling one socket who is in the conversations that it came to, so that it has to ask for nothing."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.member import Member
from gateway.engine import Frame
from gateway.sockets import packets
from gateway.sockets.house import House
from publisher.rooms import Room, room_kind

# Rooms read in one script call, which holds Redis up for that long.
READ_BATCH = 50


def ephemeral(body: bytes) -> Frame:
    """Make a frame of an event's body, as it is on the wire to the gateways."""
    return Frame(b"2" + body)


def in_room(member: Member, room: Room, viewers: bytes, typists: Iterable[str]) -> list[Frame]:
    """Make the events that say who looks at a conversation, and who types there."""
    ident = room.partition(":")[2]
    typing = [
        Frame(packets.event("user_typing", {"conversation_id": ident, "user_id": typist, "typing": True}))
        for typist in typists
        if typist != member.identity.user_id
    ]
    return [ephemeral(viewers), *typing]


async def in_rooms(house: House, member: Member, rooms: Iterable[Room]) -> list[Frame]:
    """Make them for all conversations among some rooms; raises `LinkDown` or `ReplyError`."""
    conversations = [room for room in rooms if room_kind(room) == "conversation"]
    frames: list[Frame] = []
    for i in range(0, len(conversations), READ_BATCH):
        batch = conversations[i : i + READ_BATCH]
        found = await house.people.read(member.tenant.id, batch)
        for room, people in zip(batch, found, strict=True):
            frames += in_room(member, room, people.viewers, people.typists)
    return frames
