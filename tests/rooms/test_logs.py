"""Reading logs: what a room has kept after a seq, all rooms at one moment."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.core.history import Entry, Retention
from gateway.redis.commands import Commands
from gateway.redis.connection import RedisUnavailable
from gateway.rooms.logs import History
from gateway.sessions.store import SessionRef, Sessions
from publisher import Offset, Options, Room, conversation, parse_offset, wire
from publisher.envelope import build_event
from tests.support.proxy import Proxy
from tests.support.tokens import new_id
from tests.support.waiting import until

Client = Any  # redis.asyncio.Redis, whose commands are not typed


class Tenant:
    """One tenant's events."""

    def __init__(self, commands: Commands, kept: Retention) -> None:
        self.id = new_id()
        self.room = conversation(new_id())
        self.history = History(commands, kept)
        self._commands = commands

    async def publish(self, data: Any, *rooms: Room, **more: Any) -> Offset:
        envelope = build_event(self.id, "e", data, rooms or [self.room], Options(), **more)
        _, offset = await self._commands.publish(envelope)
        return parse_offset(offset)


@pytest.fixture
def tenant(commands: Commands) -> Tenant:
    return Tenant(commands, Retention(5, 3600.0))


async def test_a_long_history_is_read_in_pages_and_is_one(commands: Commands) -> None:
    """A call that gave all of it would hold Redis up, and its answer would fill Redis' memory."""
    tenant = Tenant(commands, Retention(10_000, 3600.0))
    other = conversation(new_id())
    expected: dict[Room, list[int]] = {tenant.room: [], other: []}
    for i in range(120):
        room = other if i % 3 else tenant.room
        expected[room].append((await tenant.publish("x" * 1000, room)).seq)
    before = await calls(commands)
    after = {room: seqs[0] - 1 for room, seqs in expected.items()}
    snapshot = await tenant.history.read(tenant.id, after, most_bytes=20_000)
    assert await calls(commands) - before > 3
    for room, seqs in expected.items():
        assert [entry.seq for entry in snapshot.logs[room].entries] == seqs
        assert snapshot.logs[room].complete


async def test_what_is_trimmed_while_it_is_read_is_a_hole(
    commands: Commands, redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = Tenant(commands, Retention(10_000, 3600.0))
    seqs = [(await tenant.publish("x" * 1000)).seq for _ in range(200)]
    run, read = commands.run, tenant.history._read_logs

    async def run_and_trim(script: Any, keys: list[str], *args: Any) -> Any:
        found = await run(script, keys, *args)
        if script is read:
            await redis_client.xtrim(wire.log_key(tenant.id, tenant.room), maxlen=60, approximate=False)
        return found

    monkeypatch.setattr(commands, "run", run_and_trim)
    snapshot = await tenant.history.read(tenant.id, {tenant.room: seqs[0] - 1}, most_bytes=20_000)
    log = snapshot.logs[tenant.room]
    assert [entry.seq for entry in log.entries] == seqs[-60:]
    assert not log.complete


async def test_the_newest_are_no_more_than_fit_into_a_page(commands: Commands) -> None:
    tenant = Tenant(commands, Retention(10_000, 3600.0))
    seqs = [(await tenant.publish("x" * 1000)).seq for _ in range(200)]
    snapshot = await tenant.history.read(tenant.id, {tenant.room: seqs[0]}, newest=10_000, most_bytes=20_000)
    log = snapshot.logs[tenant.room]
    # One entry may be beyond the limit, however large it is.
    assert 17 <= len(log.entries) <= 20
    assert [entry.seq for entry in log.entries] == seqs[-len(log.entries) :]
    assert not log.complete


async def calls(commands: Commands) -> int:
    """Count the scripts that Redis ran."""
    lines = (await commands.ask("INFO", "commandstats")).decode().splitlines()
    return next((int(re.findall(r"calls=(\d+)", line)[0]) for line in lines if "evalsha" in line), 0)


async def test_a_log_is_read_after_a_seq_oldest_first(tenant: Tenant) -> None:
    seqs = [(await tenant.publish(i)).seq for i in range(4)]
    log = (await tenant.history.read(tenant.id, {tenant.room: seqs[1]})).logs[tenant.room]
    assert [entry.seq for entry in log.entries] == seqs[2:]
    assert [entry.previous for entry in log.entries] == seqs[1:3]
    assert [entry.body for entry in log.entries] == [b'["e",2]', b'["e",3]']
    assert log.complete


async def test_an_entry_tells_its_rooms_and_whom_it_leaves_out(tenant: Tenant) -> None:
    other = Room("user:bob")
    offset = await tenant.publish(1, tenant.room, other, skip_sid="sid-1")
    await tenant.publish(2)
    snapshot = await tenant.history.read(tenant.id, {tenant.room: 0, other: 0})
    both = (tenant.room, other)
    expected = Entry(offset.seq, 0, b'["e",1]', both, b"sid-1")
    assert snapshot.logs[other].entries == (expected,)
    assert snapshot.logs[tenant.room].entries[0] == expected
    assert snapshot.logs[tenant.room].entries[1].skip_sid == b"-"
    assert snapshot.logs[tenant.room].entries[1].rooms in ((), (tenant.room,))


async def test_no_more_is_read_than_the_settings_keep_and_what_is_missing_shows(tenant: Tenant) -> None:
    seqs = [(await tenant.publish(i)).seq for i in range(9)]
    logs = {
        after: (await tenant.history.read(tenant.id, {tenant.room: after})).logs[tenant.room]
        for after in (seqs[2], seqs[3])
    }
    assert [entry.seq for entry in logs[seqs[2]].entries] == seqs[4:]
    assert not logs[seqs[2]].complete
    assert logs[seqs[3]].complete


async def test_the_newest_few_may_be_asked_for(tenant: Tenant) -> None:
    seqs = [(await tenant.publish(i)).seq for i in range(4)]
    log = (await tenant.history.read(tenant.id, {tenant.room: 0}, newest=2)).logs[tenant.room]
    assert [entry.seq for entry in log.entries] == seqs[2:]
    more = (await tenant.history.read(tenant.id, {tenant.room: 0}, newest=50)).logs[tenant.room]
    assert [entry.seq for entry in more.entries] == seqs


async def test_a_snapshot_knows_its_place(tenant: Tenant) -> None:
    before = await tenant.publish(1)
    snapshot = await tenant.history.read(tenant.id, {tenant.room: 0})
    after = await tenant.publish(2)
    assert snapshot.epoch == before.epoch == after.epoch
    assert before.seq <= snapshot.seq < after.seq
    assert snapshot.logs[tenant.room].until == snapshot.seq


async def test_a_tenant_of_which_nothing_is_known_gets_its_epoch_by_being_read(tenant: Tenant) -> None:
    snapshot = await tenant.history.read(tenant.id, {tenant.room: 0})
    offset = await tenant.publish(1)
    assert offset.epoch == snapshot.epoch
    assert offset.seq > snapshot.seq
    assert snapshot.logs[tenant.room].entries == ()


async def test_many_rooms_are_read_in_one_go(tenant: Tenant, redis_client: Client) -> None:
    rooms = [conversation(new_id()) for _ in range(100)]
    await tenant.publish(1, *rooms[:64])
    await tenant.history.read(tenant.id, {})
    await redis_client.config_resetstat()
    snapshot = await tenant.history.read(tenant.id, dict.fromkeys(rooms, 0))
    assert sum(len(log.entries) for log in snapshot.logs.values()) == 64
    calls = (await redis_client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert calls == 1


async def test_a_log_that_was_deleted_is_not_complete(tenant: Tenant, redis_client: Client) -> None:
    first = await tenant.publish(1)
    await tenant.publish(2)
    await redis_client.delete(wire.log_key(tenant.id, tenant.room))
    log = (await tenant.history.read(tenant.id, {tenant.room: first.seq})).logs[tenant.room]
    assert (log.entries, log.complete) == ((), False)


# -- times that are changed while events are kept


class Changing:
    """A tenant for which gateways want its history kept for now this and now that long."""

    def __init__(self, commands: Commands, client: Client) -> None:
        self.tenant = Tenant(commands, Retention(50, 3600.0))
        self._commands = commands
        self._redis = client

    async def keep_for(self, ttl_s: float) -> int:
        """Have a socket come to a gateway with this setting; return the seq of that moment."""
        kept = Retention(50, ttl_s)
        sessions = Sessions(self._commands, window_s=60.0, renew_every_s=30.0, unnoticed_s=1.0, kept=kept)
        return (await sessions.open(SessionRef(self.tenant.id, "bob", new_id()), {})).place.seq

    async def expire(self) -> None:
        """Wait until what is kept for a moment only is gone."""
        await until(self._has_expired, what="the event to expire")

    async def _has_expired(self) -> bool:
        tenant, room = self.tenant.id, self.tenant.room
        return not await self._redis.exists(wire.tail_key(tenant, room), wire.log_key(tenant, room))

    async def is_complete(self, after: int) -> bool:
        """Read as a gateway does that keeps events for an hour."""
        found = await self.tenant.history.read(self.tenant.id, {self.tenant.room: after})
        return found.logs[self.tenant.room].complete


@pytest.fixture
def changing(commands: Commands, redis_client: Client) -> Changing:
    return Changing(commands, redis_client)


@pytest.mark.parametrize("later", [0, 1], ids=["nothing later", "an event later"])
@pytest.mark.parametrize("back", [False, True], ids=["raised", "raised by one gateway, lowered by another"])
async def test_an_event_that_expired_under_a_shorter_time_is_no_silence(
    changing: Changing, later: int, *, back: bool
) -> None:
    before = await changing.keep_for(0.2)
    await changing.tenant.publish("missed")
    if back:
        await changing.keep_for(3600.0)
        await changing.keep_for(0.2)
        await changing.tenant.publish("missed, too")
    await changing.expire()
    if not back:
        await changing.keep_for(3600.0)
    for _ in range(later):
        await changing.tenant.publish("later")
    assert not await changing.is_complete(before)


async def test_one_that_expires_after_the_time_was_raised_is_none_either(changing: Changing) -> None:
    before = await changing.keep_for(0.5)
    await changing.tenant.publish("missed")
    await changing.keep_for(3600.0)
    await changing.expire()
    assert not await changing.is_complete(before)
    await changing.tenant.publish("later")
    assert not await changing.is_complete(before)


async def test_an_event_that_expired_under_a_shorter_time_is_not_lost_by_redis(changing: Changing) -> None:
    await changing.keep_for(0.2)
    seq = (await changing.tenant.publish("had")).seq
    await changing.expire()
    await changing.keep_for(3600.0)
    found = await changing.tenant.history.read(changing.tenant.id, {changing.tenant.room: seq})
    assert not found.logs[changing.tenant.room].lacks(seq)


async def test_silence_is_silence_where_the_shorter_time_was_long_enough(changing: Changing) -> None:
    before = await changing.keep_for(1800.0)
    await changing.keep_for(3600.0)
    assert await changing.is_complete(before)
    await changing.tenant.publish("later")
    assert await changing.is_complete(before)
    await changing.keep_for(7200.0)
    await changing.keep_for(1800.0)
    assert await changing.is_complete(before)


async def test_a_shorter_time_that_no_event_of_the_present_one_can_have_lived_under_is_forgotten(
    changing: Changing, redis_client: Client
) -> None:
    await changing.keep_for(0.01)
    first = await changing.keep_for(0.2)
    await until(lambda: _is_past(redis_client, first + 200_000))
    await changing.keep_for(3600.0)
    (brief,) = await redis_client.hmget(wire.meta_key(changing.tenant.id), "brief")
    assert brief.endswith(b" 200")


async def _is_past(client: Client, micros: int) -> bool:
    seconds, fraction = await client.time()
    return bool(seconds * 1_000_000 + fraction > micros)


async def test_with_redis_away_it_says_so(tenant: Tenant, commands: Commands, redis_proxy: Proxy) -> None:
    await redis_proxy.refuse()
    await until(lambda: not commands.is_up)
    with pytest.raises(RedisUnavailable):
        await tenant.history.read(tenant.id, {tenant.room: 0})
