"""Stand-ins for what surrounds the core."""

from __future__ import annotations

import json
from typing import Any

from gateway.core.frames import Frame
from gateway.core.hub import Hub
from gateway.core.model import Identity, Member, RoomState, Tenant
from publisher import Room
from publisher.envelope import encode
from publisher.wire import Message
from tests.support.tokens import new_id

EPOCH = "e1"


class Socket:
    """Takes note of what it is given."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.closed: str | None = None

    def send_frame(self, frame: Frame) -> None:
        self.frames.append(frame)

    def send_frames(self, frames: list[Frame]) -> None:
        self.frames += frames

    def close(self, reason: str) -> None:
        self.closed = reason

    @property
    def events(self) -> list[list[Any]]:
        return [json.loads(packet[2:]) for frame in self.frames for packet in frame.packet.split(b"\x1e")]

    @property
    def data(self) -> list[Any]:
        """The data of the events."""
        return [event[1] for event in self.events]


class Troubles:
    """Takes note of what the hub can't settle."""

    def __init__(self) -> None:
        self.gaps: list[RoomState] = []
        self.controls: list[bytes] = []

    def gap(self, room: RoomState) -> None:
        self.gaps.append(room)

    def control(self, room: RoomState, message: Message) -> None:
        self.controls.append(message.body)


class World:
    """A hub with one tenant; `parts` are `Hub`'s."""

    def __init__(self, **parts: Any) -> None:
        self.troubles = Troubles()
        self.hub = Hub(self.troubles, **parts)
        self.tenant: Tenant = self.hub.tenant(new_id())
        self.tenant.epoch = EPOCH
        self._last: dict[RoomState, int] = {}

    def room(self, name: str = "user:bob") -> RoomState:
        """A room that has been heard since the beginning."""
        room = self.hub.room(self.tenant, Room(name))
        room.last_seq = room.last_seq or 0
        return room

    def member(self, *rooms: RoomState, sid: str = "", last_seq: int = 0) -> tuple[Member, Socket]:
        socket = Socket()
        written: Any = socket
        member = Member(written, Identity("bob", self.tenant.id, "", 0.0), self.tenant, sid or new_id(), "pid")
        member.last_seq = last_seq
        for room in rooms:
            room.add(member, 0)
        return member, socket

    def message(self, room: RoomState, seq: int, **fields: Any) -> bytes:
        """What the script would publish."""
        previous = fields.get("previous", self._last.get(room, 0))
        epoch, flag = fields.get("epoch", EPOCH), fields.get("flag", "r")
        body = fields.get("body") or encode(["e", fields.get("data", seq)]).decode()
        if flag == "r":
            self._last[room] = seq
        key = f" c={fields['key']}" if "key" in fields else ""
        return f"{epoch}-{seq} {previous} {flag} {fields.get('skip', '-')}{key}\n{body}".encode()

    def receive(self, room: RoomState, seq: int, **fields: Any) -> None:
        """Hand one message to the hub, to its end."""
        rest = self.hub.receive(room.channel, self.message(room, seq, **fields))
        while rest is not None:
            rest = rest()
