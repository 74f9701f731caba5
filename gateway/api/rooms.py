"""The present state of a room: its members and its history."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from gateway.api.models import RoomQuery
from gateway.core.replay import as_past
from gateway.loop_slices import Slices
from gateway.sockets.members import Members
from publisher import wire
from publisher.rooms import Room


async def room_now(members: Members, query: RoomQuery) -> dict[str, Any]:
    """Return the fields of `RoomNow`; raises `RedisUnavailable` or `ReplyError`."""
    tenant, room = query.organization_id, Room(query.room)
    ask = members.commands.ask
    subscribers, epoch, newest, kept = await asyncio.gather(
        members.commands.subscribers(wire.channel(tenant, room)),
        ask("HGET", wire.meta_key(tenant), "epoch"),
        ask("GET", wire.tail_key(tenant, room)),
        ask("XLEN", wire.log_key(tenant, room)),
    )
    known = members.subscriptions.hub.tenants.get(tenant)
    state = known.rooms.get(room) if known is not None else None
    return {
        "room": room,
        "members": len(state.members) if state is not None else 0,
        "replicas": subscribers,
        "offset": f"{epoch.decode()}-{newest.split()[0].decode()}" if epoch and newest else None,
        "kept": min(int(kept), members.history.retention.size),
        # Without an epoch the organization never had an event, and reading would begin a history.
        "events": await _events(members, tenant, room, query.history) if epoch and query.history else [],
    }


async def _events(members: Members, tenant: str, room: Room, count: int) -> list[msgspec.Raw]:
    snapshot = await members.history.read(tenant, {room: 0}, newest=count)
    found, slices = [], Slices()
    for entry in snapshot.logs[room].entries:
        found.append(msgspec.Raw(as_past(entry.body, f"{snapshot.epoch}-{entry.seq}")))
        await slices.did()
    return found
