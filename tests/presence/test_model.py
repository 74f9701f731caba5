"""Any sequence of comings and goings: what Redis says of people, and what it told, is what a plain model says.

The model knows each socket's lease, and nothing of how the scripts keep it. A page that hears everything must show
the same as a page that asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
import redis.asyncio
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.presence.store import PresenceTimes
from gateway.redis.commands import Commands
from gateway.redis.connection import Source
from publisher import Room, conversation
from tests.support.office import Office, Socket
from tests.support.tokens import new_id

T = TypeVar("T")
USERS = st.sampled_from(["ann", "bob", "cid"])
REPLICAS = st.integers(0, 1)
ANY = st.integers(0, 50)
# Each is some tens of seconds and a half ten: what the test itself takes must not be as much.
TIMES = PresenceTimes(lease_s=305.0, grace_s=55.0, typing_s=65.0)
TEN_S = st.sampled_from(range(10, 100, 10))
RENEW_S = 100
PACE_S = 20
"""Longer than anything that is told waits for its turn."""


@dataclass
class Modelled:
    """One socket as the model knows it."""

    socket: Socket
    replica: int
    gone_at: float
    up: bool = True
    for_good: bool = False
    seen_off: bool = False
    rooms: set[Room] = field(default_factory=set)
    types: dict[Room, float] = field(default_factory=dict)
    """Conversations it types in, each with when that ends."""

    @property
    def user(self) -> str:
        return self.socket.user


class Page:
    """What a page shows that has heard everything."""

    def __init__(self) -> None:
        self.online: set[str] = set()
        self.viewers: dict[str, set[str]] = {}
        self.typing: set[tuple[str, str]] = set()

    def hear(self, name: str, data: dict[str, Any]) -> None:
        if name == "user:status":
            assert (data["status"] == "online") != (data["user_id"] in self.online), f"{data} is no news"
            self._set(data["user_id"], data["status"] == "online")
        elif name == "user:statuses":
            for status in ("online", "offline"):
                for user in data[status]:
                    self._set(user, status == "online")
        elif name == "conversation:viewers":
            self.viewers[data["conversation_id"]] = set(data["user_ids"])
        elif name == "user_typing":
            who = data["conversation_id"], data["user_id"]
            assert data["typing"] != (who in self.typing), f"{data} is no news"
            (self.typing.add if data["typing"] else self.typing.discard)(who)

    def _set(self, user: str, is_online: bool) -> None:
        (self.online.add if is_online else self.online.discard)(user)


class Machine(RuleBasedStateMachine):
    """What may happen next, at two replicas."""

    server: EmbeddedRedis

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.spared_until = 0.0
        self.sockets: list[Modelled] = []
        self.page = Page()
        self.rooms = [conversation(new_id()) for _ in range(2)]
        self.office = self.run(self._open())

    async def _open(self) -> Office:
        self.commands = Commands(Source(self.server.url, name="gateway"))
        await self.commands.start()
        self.client: Any = redis.asyncio.Redis.from_url(self.server.url)
        return await Office(self.commands, self.client, times=TIMES).open()

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(doing)

    def teardown(self) -> None:
        try:
            self.everything_agrees()
            # Once more, when all have been seen off who are to be.
            for _ in range(5):
                self.time_passes(90)
            self.everything_agrees()
        finally:
            self.run(self._close())
            self.loop.close()

    async def _close(self) -> None:
        await self.office.close()
        await self.client.aclose()
        await self.commands.stop()

    def pick(self, number: int, *, up: bool) -> Modelled | None:
        found = [modelled for modelled in self.sockets if modelled.up == up and not modelled.for_good]
        return found[number % len(found)] if found else None

    # -- what happens

    @initialize()
    def some_are_there(self) -> None:
        for user, replica, rooms in (("ann", 0, {0, 1}), ("ann", 1, {0}), ("bob", 0, {0}), ("cid", 1, {1})):
            self.come(user, replica, rooms)

    @rule(user=USERS, replica=REPLICAS, rooms=st.sets(st.integers(0, 1)))
    def come(self, user: str, replica: int, rooms: set[int]) -> None:
        chosen = {self.rooms[i] for i in rooms}
        socket = self.run(self.office.come(user, *chosen))
        self.sockets.append(Modelled(socket, replica, self.now + TIMES.lease_s, rooms=chosen))

    @rule(number=ANY, replica=REPLICAS)
    def come_back(self, number: int, replica: int) -> None:
        coming = self.pick(number, up=False)
        if coming is not None:
            assert self.run(self.office.come_back(coming.socket)).session is not None
            coming.up, coming.replica, coming.gone_at = True, replica, self.now + TIMES.lease_s
            coming.seen_off = False

    @rule(number=ANY, how=st.sampled_from(["dropped", "moved", "closed", "sent away"]))
    def go(self, number: int, how: str) -> None:
        going = self.pick(number, up=True)
        if going is None:
            return
        typing, session_ref = tuple(going.types), going.socket.session_ref
        if how in ("dropped", "moved"):
            self.run(self.office.drop(going.socket, moving=how == "moved", typing=typing))
        else:
            self.run(self.office.sessions.end(session_ref, typing, at_once=how == "sent away"))
        stays_s = {"dropped": TIMES.grace_s, "closed": TIMES.grace_s, "moved": TIMES.lease_s, "sent away": 0}[how]
        going.up, going.for_good, going.gone_at = False, how in ("closed", "sent away"), self.now + stays_s
        going.types.clear()
        if how == "sent away":
            self.sockets.remove(going)

    @rule(replica=REPLICAS)
    def a_replica_is_killed(self, replica: int) -> None:
        for modelled in self.sockets:
            if modelled.up and modelled.replica == replica:
                modelled.up = False

    @rule(number=ANY, room=st.integers(0, 1))
    def join(self, number: int, room: int) -> None:
        joining = self.pick(number, up=True)
        if joining is not None:
            self.run(self.office.join(joining.socket, self.rooms[room]))
            joining.rooms.add(self.rooms[room])

    @rule(number=ANY, room=st.integers(0, 1))
    def leave(self, number: int, room: int) -> None:
        leaving = self.pick(number, up=True)
        if leaving is not None:
            self.run(self.office.leave(leaving.socket, self.rooms[room]))
            leaving.rooms.discard(self.rooms[room])
            leaving.types.pop(self.rooms[room], None)

    @rule(number=ANY, room=st.integers(0, 1), typing=st.sampled_from([True, True, False]))
    def type(self, number: int, room: int, *, typing: bool) -> None:
        typist = self.pick(number, up=True)
        if typist is None or self.rooms[room] not in typist.rooms:
            return
        self.run(self.office.type(typist.socket, room=self.rooms[room], typing=typing))
        if typing:
            typist.types[self.rooms[room]] = self.now + TIMES.typing_s
        else:
            typist.types.pop(self.rooms[room], None)

    @rule(seconds=TEN_S)
    def time_passes(self, seconds: int) -> None:
        self.pass_time(seconds)
        self.look_after(0)
        self.look_after(1)

    @rule(seconds=st.sampled_from(range(200, 610, 10)), first=REPLICAS)
    def redis_was_away(self, seconds: int, first: int) -> None:
        self.pass_time(seconds)
        self.spared_until = self.now + TIMES.lease_s * 2 / 3
        self.look_after(first)
        self.pass_time(RENEW_S)
        self.look_after(1 - first)
        self.look_after(first)

    # -- the time

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.run(self.office.pass_time(seconds))

    def look_after(self, replica: int) -> None:
        """Have a replica renew its leases and sweep, as it does when it is up, with sockets or without."""
        up = [modelled for modelled in self.sockets if modelled.up and modelled.replica == replica]
        assert self.run(self.office.sweep(*(modelled.socket for modelled in up))).unknown == []
        for modelled in up:
            modelled.gone_at = self.now + TIMES.lease_s
        for modelled in self.sockets:
            if modelled.gone_at <= self.now >= self.spared_until:
                modelled.seen_off = True

    # -- what must hold

    def there(self) -> list[Modelled]:
        return [modelled for modelled in self.sockets if not modelled.seen_off]

    @rule()
    def everything_agrees(self) -> None:
        self.time_passes(PACE_S)
        for name, data, _ in self.run(self.office.told()):
            self.page.hear(name, data)
        there = self.there()
        online = {modelled.user for modelled in there}
        assert set(self.run(self.office.online())) == online
        assert self.page.online == online, "who heard everything shows others as online than who asks"
        for room in self.rooms:
            self.room_agrees(room, there)

    def room_agrees(self, room: Room, there: list[Modelled]) -> None:
        ident = room.partition(":")[2]
        viewers = {modelled.user for modelled in there if room in modelled.rooms}
        sockets = sum(room in modelled.rooms for modelled in there)
        (people,) = self.run(self.office.presence.read(self.office.tenant, [room], "eve")).rooms
        typing = {m.user for m in self.sockets if m.types.get(room, 0.0) > self.now}
        assert set(people.typists) == typing
        assert {user for where, user in self.page.typing if where == ident} == typing
        told = people.viewers or b""
        assert told.endswith(b'"sockets":%d}]' % sockets), f"{told!r} does not say {sockets}"
        assert all(f'"{user}"'.encode() in told for user in viewers)
        if len(viewers) > 1:
            # Nobody is told who sees it alone.
            assert self.page.viewers.get(ident) == viewers


def test_what_redis_says_and_tells_of_people_is_what_is_true(
    shared_redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Machine, "server", shared_redis_server, raising=False)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
