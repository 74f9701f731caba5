"""Telling one socket who is in the conversations that it came to, so that it has to ask for nothing.

What Redis said of a moment is told between what was published before and after it: a newer event that had
overtaken it would be taken back.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core import statuses
from gateway.core.frames import Frame
from gateway.core.model import Member, QueuedFrame
from gateway.presence.store import ROOM_BATCH, RoomPresence
from gateway.sockets import packets
from gateway.sockets.members import Members
from publisher.rooms import Room, room_kind


def ephemeral(body: bytes) -> Frame:
    """Make a frame of an event's body, as it is on the wire to the gateways."""
    return Frame(b"2" + body)


def of_users(member: Member, body: bytes) -> list[Frame]:
    """Make the events that say who came and went."""
    return [ephemeral(body)] if member.takes_statuses else [*statuses.one_by_one(body).values()]


def of_room(member: Member, room: Room, people: RoomPresence) -> list[Frame]:
    """Make the events that say who looks at a conversation, who types there, and who types no more."""
    ident = room.partition(":")[2]
    named = [(user, False) for user in people.stopped] + [(user, True) for user in people.typists]
    typing = [
        Frame(packets.event("user_typing", {"conversation_id": ident, "user_id": user, "typing": typing}))
        for user, typing in named
        if user != member.identity.user_id
    ]
    return [ephemeral(people.viewers), *typing] if people.viewers is not None else typing


async def catch_up(
    members: Members, member: Member, rooms: Iterable[Room], after: int | None
) -> list[QueuedFrame]:
    """Read what brings a member up to date: conversations among some rooms, and who came and went since `after`.

    The member is in its rooms, corked. Raises `RedisUnavailable` or `ReplyError`.
    """
    conversations = [room for room in rooms if room_kind(room) == "conversation"]
    told: list[QueuedFrame] = []
    for i in range(0, max(len(conversations), 1), ROOM_BATCH):
        batch = conversations[i : i + ROOM_BATCH]
        found = await members.presence.read(member.tenant.id, batch, member.identity.user_id, after)
        if found.statuses is not None and i == 0:
            told += (QueuedFrame(found.seq, frame) for frame in of_users(member, found.statuses))
        for room, people in zip(batch, found.rooms, strict=True):
            told += (QueuedFrame(found.seq, frame) for frame in of_room(member, room, people))
    return told


def in_place(kept: Iterable[QueuedFrame], told: Iterable[QueuedFrame]) -> list[QueuedFrame]:
    """Put what is told of a moment behind what was published by then, and before what came later."""
    return sorted((*kept, *told), key=lambda corked: corked.seq)
