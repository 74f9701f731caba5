"""What sockets are told of what the room subscriptions find out, with a stand-in for Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from gateway.core.limits import Limits
from gateway.core.model import Member, RoomState, Tenant
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.sessions.store import SessionRef
from gateway.sockets.control import ControlHandler
from publisher import Room
from tests.core.parts import World
from tests.support.waiting import until


class Socket:
    """A socket that takes note of its end."""

    def __init__(self) -> None:
        self.is_muted = False
        self.ended: list[str] = []

    @property
    def closed(self) -> bool:
        return bool(self.ended)

    def mute(self) -> None:
        self.is_muted = True

    def close(self, reason: str, code: object = None) -> None:
        self.ended.append(reason)


class Redis:
    """What a recheck asks, where nothing was said; and the sessions, which fail with `errors` first."""

    def __init__(self) -> None:
        self.limits = Limits(write_retry_s=0.0)
        self.errors: list[Exception] = []
        self.marked: list[str] = []
        self.waited = 0

    async def tell_again(self, tenant: str, after: int, rooms: list[Room]) -> int:
        return -1

    async def wait_up(self, timeout_s: float) -> None:
        self.waited += 1

    async def mark_holed(self, holders: Iterable[SessionRef]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.marked += [session_ref.pid for session_ref in holders]


class Access:
    """Takes note of whose answers are forgotten."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[str, str]] = []

    def invalidate(self, tenant: str, user_id: str, room: Room | None = None) -> None:
        assert room is None
        self.forgotten.append((tenant, user_id))


class Ground:
    """A tenant, what listens for its sockets, and Redis."""

    def __init__(self) -> None:
        self.world, self.redis, self.access = World(), Redis(), Access()
        sweeper = SimpleNamespace(soon=lambda tenant, delay_ms: None)
        redis = dict.fromkeys(("presence", "sessions", "commands"), self.redis)
        members: Any = SimpleNamespace(access=self.access, sweeper=sweeper, typing={}, **redis)
        typing: Any = SimpleNamespace(tell_again=lambda tenant: None)
        self.control = ControlHandler(members, typing)

    def member(self, room: RoomState) -> tuple[Member, Socket]:
        member, _ = self.world.member(room)
        socket: Any = Socket()
        member.pid, member.socket = f"pid-{member.sid}", socket
        return member, socket


@pytest_asyncio.fixture
async def ground() -> AsyncIterator[Ground]:
    ground = Ground()
    yield ground
    await ground.control.stop()


async def test_after_a_break_a_tenants_own_answers_are_forgotten_and_no_others(ground: Ground) -> None:
    world = ground.world
    for name in ("user:ann", "user:bob", f"organization:{world.tenant.id}", "conversation:1"):
        world.room(name)
    world.hub.room(Tenant("another"), Room("user:eve"))
    await ground.control.recheck(world.tenant)
    assert ground.access.forgotten == [(world.tenant.id, "ann"), (world.tenant.id, "bob")]


# -- holes

LOADING = ReplyError("LOADING Redis is loading the dataset in memory")


@pytest.mark.parametrize("error", [RedisUnavailable("away"), LOADING], ids=str)
async def test_who_misses_something_is_sent_back_only_when_its_session_says_so(
    ground: Ground, error: Exception
) -> None:
    room = ground.world.room()
    member, socket = ground.member(room)
    ground.redis.errors = [error] * 3
    marked_before: list[list[str]] = []
    socket.ended = _Noting(lambda: marked_before.append([*ground.redis.marked]))
    ground.control.hole(room)
    assert socket.is_muted
    await until(lambda: socket.closed)
    assert (list(socket.ended), marked_before) == (["gap"], [[member.pid]])
    assert ground.redis.waited == 3


async def test_a_session_whose_socket_ended_before_it_was_marked_is_marked_all_the_same(ground: Ground) -> None:
    room = ground.world.room()
    there, gone = ground.member(room), ground.member(room)
    ground.redis.errors = [RedisUnavailable("away")]
    ground.control.hole(room)
    gone[1].ended.append("transport error")
    await until(lambda: there[1].closed)
    assert ground.redis.marked == [there[0].pid, gone[0].pid]


async def test_a_session_that_cannot_be_marked_for_its_own_sake_keeps_nobody_here(ground: Ground) -> None:
    room = ground.world.room()
    _, socket = ground.member(room)
    ground.redis.errors = [ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value")]
    ground.control.hole(room)
    await until(lambda: socket.closed)
    assert ground.redis.waited == 0


class _Noting(list[str]):
    """A list that says when something is added."""

    def __init__(self, note: Any) -> None:
        self._note = note

    def append(self, item: str) -> None:
        self._note()
        super().append(item)
