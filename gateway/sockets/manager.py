"""The Redis manager: python-socketio's own interface to this replica's sockets and everybody's rooms.

Upstream's manager publishes every emit to every replica over one channel. Here a room is a channel of its
own, and what comes over it goes to the hub, past this class; what is left for the manager are the calls that
python-socketio makes, or that code written for it makes: `sio.emit(..., to=sid)` reaches a socket of this
replica, `sio.emit(..., room="<tenant>/<room>")` everyone in that room, on all replicas, at most once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import socketio

from gateway.core.frames import Frame
from gateway.sockets import packets
from gateway.sockets.members import Members
from publisher.envelope import Options, build_event


class RoomManager(socketio.AsyncRedisManager):  # type: ignore[misc]  # upstream is not typed
    """Rooms with a channel each."""

    def __init__(self, members: Members) -> None:
        super().__init__()
        self._members = members
        self._options = Options(max_payload_bytes=members.settings.max_payload_bytes)

    def initialize(self) -> None:
        """Start nothing: the room subscriptions hear for all of us."""

    def is_connected(self, sid: str, namespace: str) -> bool:
        """Return whether a socket of this replica has this sid."""
        return sid in self._members.by_sid

    def get_namespaces(self) -> Iterable[str]:
        """Return the one namespace there is."""
        return ("/",)

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        """Return the rooms of a socket, tenant included."""
        member = self._members.by_sid.get(sid)
        return [f"{member.tenant.id}/{room.name}" for room in member.rooms] if member else []

    def get_participants(self, namespace: str, room: str) -> Iterable[tuple[str, str]]:
        """Return the sockets of this replica in a room, each with its Engine.IO id."""
        tenant_id, _, name = room.partition("/")
        tenant = self._members.subscriptions.hub.tenants.get(tenant_id)
        state = tenant.rooms.get(packets_room(name)) if tenant else None
        for member in state.everyone() if state else ():
            yield member.sid, member.socket.sid

    async def emit(self, event: str, data: Any, namespace: str, room: Any = None, **kwargs: Any) -> None:
        """Send an event to one socket of this replica, or to a room on all of them; never replayed."""
        room = kwargs.get("to") or room
        member = self._members.by_sid.get(room) if isinstance(room, str) else None
        if member is not None:
            args = data if isinstance(data, tuple) else () if data is None else (data,)
            member.socket.send_frame(Frame(packets.event(event, *args)))
        elif isinstance(room, str) and "/" in room:
            tenant, _, name = room.partition("/")
            skip_sid = kwargs.get("skip_sid")
            envelope = build_event(tenant, event, data, name, self._options, skip_sid=skip_sid, ephemeral=True)
            await self._members.commands.publish(envelope)

    async def trigger_callback(self, sid: str, id: int, data: Any) -> None:
        """Ignore an ack: the gateway asks browsers for none."""


def packets_room(name: str) -> Any:
    """Name a room as the hub's tables do."""
    return name
