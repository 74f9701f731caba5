"""One tenant's people in a real Redis: sockets that come and go, what is told of them, and time that passes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import redis.asyncio

from gateway.core.history import Retention
from gateway.presence.online import online
from gateway.presence.store import PresenceStore, PresenceTimes, Swept
from gateway.redis.commands import Commands
from gateway.sessions.store import Opened, SessionRef, Sessions
from publisher import Options, Room, conversation, wire
from publisher.envelope import build_control
from publisher.rooms import organization, user
from publisher.wire import parse_message
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S

# Far apart, and never met by whole seconds: what really passes in a test decides nothing.
TIMES = PresenceTimes(lease_s=30.5, grace_s=5.5, typing_s=6.5)
LATER = 10**16

Told = tuple[str, dict[str, Any], str]
"""An event's name, its data, and who is left out."""


class Socket:
    """One socket, as Redis knows it."""

    def __init__(self, office: Office, user_id: str, **token: Any) -> None:
        self.user = user_id
        self.session_ref = SessionRef(office.tenant, user_id, new_id(), new_id(), **token)
        self.pid = self.session_ref.pid
        self.sid = self.session_ref.sid


class Office:
    """One tenant. `told` is everything that was told since it was asked last."""

    def __init__(self, commands: Commands, client: Any, *, most: int = 0, times: PresenceTimes = TIMES) -> None:
        self.tenant = new_id()
        self.talk = conversation(new_id())
        self.presence = PresenceStore(commands, times)
        self.delays: list[int] = []
        self.sessions = Sessions(
            commands,
            window_s=120.0,
            renew_every_s=60.0,
            unnoticed_s=1.0,
            kept=Retention(50, 600.0),
            presence=times,
            most_sockets=most,
            due=self._due,
        )
        self.stands_still = True
        self._commands = commands
        self._redis = client
        self._hearing: Any = client.pubsub()
        self._options = Options()

    def _due(self, tenant: str, delay_ms: int) -> None:
        if delay_ms >= 0:
            self.delays.append(delay_ms)

    @property
    def named(self) -> dict[str, str]:
        """The field by which an event names the conversation."""
        return {"conversation_id": self.talk.partition(":")[2]}

    async def open(self) -> Office:
        """Begin to listen."""
        await self._hearing.psubscribe(self.key("room:*"))
        await self._hearing.get_message(timeout=PATIENCE_S)
        return self

    async def close(self) -> None:
        """Listen no more."""
        await self._hearing.aclose()

    def key(self, name: str) -> str:
        """Name a key of the tenant's."""
        return wire.prefix(self.tenant) + name

    # -- sockets

    async def come(self, user_id: str, *rooms: Room, **token: Any) -> Socket:
        """Have a socket connect, and be in some rooms from the beginning."""
        socket = Socket(self, user_id, **token)
        await self.sessions.open(
            socket.session_ref, dict.fromkeys((user(user_id), organization(self.tenant), *rooms))
        )
        await self._stand_still()
        return socket

    async def come_back(self, socket: Socket) -> Opened:
        """Have it come back."""
        opened = await self.sessions.claim(socket.session_ref)
        if opened.session is not None:
            socket.session_ref = socket.session_ref._replace(generation=opened.session.generation)
        return opened

    async def drop(self, *sockets: Socket, moving: bool = False, typing: Iterable[Room] = ()) -> None:
        """Have them lose their connection."""
        for socket in sockets:
            await self.sessions.begin_window(socket.session_ref, LATER, typing, moving=moving)

    async def join(self, socket: Socket, room: Room | None = None, after: int | None = None) -> Any:
        """Have it join a conversation; return what it is told of the people there."""
        return (await self.sessions.join(socket.session_ref, room or self.talk, 1, after)).presence

    async def leave(self, socket: Socket, room: Room | None = None) -> None:
        """Have it leave a conversation."""
        await self.sessions.leave(socket.session_ref, room or self.talk, [])

    async def type(self, socket: Socket, *, skip: str = "", typing: bool = True, room: Room | None = None) -> int:
        """Have it type, or stop."""
        room, skip = room or self.talk, skip or f"@{socket.user}"
        return await self.presence.type(self.tenant, room, socket.pid, socket.user, skip, typing=typing)

    async def sweep(self, *alive: Socket) -> Swept:
        """Have a replica with these sockets look after its tenant."""
        swept = await self.presence.sweep(self.tenant, [(socket.pid, socket.user) for socket in alive])
        await self._stand_still()
        return swept

    async def online(self) -> list[str]:
        """Tell who is online."""
        return await online(self._commands, self.tenant)

    async def take_away(self, user_id: str, what: str, value: str = "") -> None:
        """Have a backend take something away from a user."""
        control = build_control(self.tenant, user_id, {"do": "x"}, self._options, revoke=what, value=value)
        await self._commands.publish(control)

    # -- time

    async def pass_time(self, seconds: float) -> None:
        """Let time pass: everything that is to happen at some time is so much nearer."""
        away_ms = int(seconds * 1000)
        for name in ("leases", "due", *await self._names("typing:")):
            for member, at in await self._redis.zrange(self.key(name), 0, -1, withscores=True):
                await self._redis.zadd(self.key(name), {member: at - away_ms})
        for name in ("beat", "spare"):
            if (at := await self._redis.hget(self.key("meta"), name)) is not None:
                await self._redis.hset(self.key("meta"), name, int(at) - away_ms)
        for name in ("rate", "told", *await self._names("told:")):
            left_ms = await self._redis.pttl(self.key(name)) - away_ms
            await (
                self._redis.pexpire(self.key(name), left_ms) if left_ms > 0 else self._redis.delete(self.key(name))
            )

    async def _stand_still(self) -> None:
        """Have no pause between two tellings end because the test takes its time: only `pass_time` ends them."""
        if self.stands_still:
            await self._redis.persist(self.key("rate"))
            await self._redis.persist(self.key("told"))

    async def _names(self, prefix: str) -> list[str]:
        found = await self._redis.keys(self.key(prefix).replace("{", "[{]") + "*")
        return [name.decode().removeprefix(wire.prefix(self.tenant)) for name in found]

    async def keys(self) -> dict[str, int]:
        """Return all keys of the tenant, each with the ms that it has to live, -1 for ever."""
        return {name: await self._redis.pttl(self.key(name)) for name in await self._names("")}

    async def seq(self) -> int:
        """Return the last seq of the tenant."""
        return int(await self._redis.hget(self.key("meta"), "seq"))

    # -- what is told

    async def told(self) -> list[Told]:
        """Return what was told since this was asked last, but for control messages."""
        end = self.key("room:end")
        await self._redis.publish(end, b"")
        told: list[Told] = []
        while (push := await self._hearing.get_message(timeout=PATIENCE_S)) is not None:
            if push["channel"].decode() == end:
                return told
            message = parse_message(push["data"])
            if message.flag == wire.Flag.EPHEMERAL:
                name, data = json.loads(message.body)
                told.append((name, data, message.skip_sid.decode()))
        raise AssertionError("what was told never ended")

    async def settle(self, *alive: Socket) -> None:
        """Let everything be told that waits for its turn, and forget it."""
        await self.pass_time(1)
        await self.sweep(*alive)
        await self.told()

    async def statuses(self) -> list[tuple[str, str]]:
        """Return who was told to be online or offline, one by one or together."""
        found: list[tuple[str, str]] = []
        for name, data, _ in await self.told():
            if name == "user:status":
                found.append((data["user_id"], data["status"]))
            elif name == "user:statuses":
                found += [(who, status) for status in ("online", "offline") for who in data[status]]
        return found

    async def viewers(self) -> list[tuple[list[str], int]]:
        """Return who was told to look at the conversation, and how many sockets."""
        return [
            (data["user_ids"], data["sockets"])
            for name, data, _ in await self.told()
            if name == "conversation:viewers"
        ]

    async def typing(self) -> list[tuple[str, bool]]:
        """Return who was told to type, or not any more."""
        return [(data["user_id"], data["typing"]) for name, data, _ in await self.told() if name == "user_typing"]


async def new_office(commands: Commands, client: redis.asyncio.Redis, **options: Any) -> Office:
    """Open an office."""
    return await Office(commands, client, **options).open()
