"""One session in Redis."""

from __future__ import annotations

from typing import Any

from gateway.core.history import Retention
from gateway.redis.commands import Commands
from gateway.sessions.keys import session_key
from gateway.sessions.store import SessionRef, Sessions
from publisher import Options, Room, conversation, wire
from publisher.envelope import build_control, build_event
from publisher.rooms import user
from tests.support.tokens import new_id

Client = Any  # redis.asyncio.Redis, whose commands are not typed

KEPT = Retention(50, 600.0)
BOB = user("bob")


class Case:
    """One session of bob's."""

    def __init__(self, commands: Commands, redis: Client, *, unnoticed_s: float = 1.0, most: int = 0) -> None:
        self.commands = commands
        self.redis = redis
        self.sessions = Sessions(
            commands, window_s=60.0, renew_every_s=30.0, unnoticed_s=unnoticed_s, kept=KEPT, most_sockets=most
        )
        self.tenant, self.pid = new_id(), new_id()
        self.room = conversation(new_id())

    @property
    def key(self) -> str:
        return session_key(self.tenant, self.pid)

    @property
    def session_ref(self) -> SessionRef:
        return SessionRef(self.tenant, "bob", self.pid, "sid-1")

    async def open(self, rooms: dict[Room, int | None] | None = None, generation: int = 1) -> Any:
        chosen = {BOB: None, self.room: None} if rooms is None else rooms
        return (await self.sessions.open(self.session_ref._replace(generation=generation), chosen)).place

    async def claim(self, user_id: str = "bob") -> Any:
        return (await self.sessions.claim(self.session_ref._replace(user_id=user_id))).session

    async def publish(self) -> int:
        envelope = build_event(self.tenant, "e", 1, self.room, Options())
        _, offset = await self.commands.publish(envelope)
        assert offset is not None
        return int(offset.partition("-")[2])

    async def control(self, revoke: str, value: str = "") -> None:
        envelope = build_control(self.tenant, "bob", {"do": "x"}, Options(), revoke=revoke, value=value)
        await self.commands.publish(envelope)


def sockets(case: Case) -> str:
    return f"{wire.prefix(case.tenant)}sockets:bob"
