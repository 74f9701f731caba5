"""Snapshots of presence for one socket that comes or joins, so that its page has to ask for nothing.

A snapshot is sent between the events that were published before and after it: behind a newer event, it would undo
that event.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.frames import Frame
from gateway.core.model import Member, QueuedFrame
from gateway.presence import split_statuses
from gateway.presence.store import ROOM_BATCH, RoomPresence
from gateway.sockets import packets
from gateway.sockets.members import Members
from publisher.rooms import Room, room_kind


def ephemeral(body: bytes) -> Frame:
    """Return the frame of an ephemeral event with this body, the JSON array."""
    return Frame(b"2" + body)


def of_users(member: Member, body: bytes) -> list[Frame]:
    """Return the events of users who came online or went offline; `body` is a `user:statuses` event."""
    return [ephemeral(body)] if member.takes_statuses else [*split_statuses.one_by_one(body).values()]


def of_room(member: Member, room: Room, people: RoomPresence) -> list[Frame]:
    """Return the events of a conversation's viewers, its typists, and users who have stopped typing."""
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
    """Return the presence in the conversations among some rooms, and changes of users since the seq `after`.

    The member is in its rooms, and corked. Raises `RedisUnavailable` or `ReplyError`.
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
    """Return queued frames and snapshots in the order of their seqs; with equal seqs the snapshot is last."""
    return sorted((*kept, *told), key=lambda corked: corked.seq)
