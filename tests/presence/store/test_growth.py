"""What Redis keeps of a tenant: every key has an end, and none grows with those who have ever been there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import pytest

from gateway.peers.keys import INDEX
from gateway.peers.registry import Registry
from gateway.redis.commands import Commands
from publisher import Options, campaign, wire
from publisher.envelope import build_control, build_event
from publisher.offsets import SEQ_PER_S
from publisher.rooms import organization
from tests.support.office import TIMES, Office
from tests.support.tokens import new_id

# As `REMEMBERED`, `MOST_WAITING` and `MOST_LOOKED_AT` in `gateway/presence`.
REMEMBERED, MOST_WAITING, MOST_LOOKED_AT = 1000, 10_000, 200
DAY_S = 86_400.0


async def fill(office: Office, name: str, members: Iterable[str], score: float) -> None:
    scores = [*((member, score + i) for i, member in enumerate(members))]
    for i in range(0, len(scores), 5000):
        await office._redis.zadd(office.key(name), dict(scores[i : i + 5000]))


async def count(office: Office, name: str) -> int:
    """Return how many there are under one of its keys."""
    return int(await office._redis.zcard(office.key(name)))


def now() -> float:
    return time.time() * SEQ_PER_S


# -- every key has an end


async def test_every_key_of_a_tenant_ends(office: Office, commands: Commands, redis_client: Any) -> None:
    office.stands_still = False
    ann, bob = await office.come("ann", office.talk), await office.come("bob")
    await office.join(bob)
    await office.type(ann)
    await office.type(ann, typing=False)
    await office.type(bob)
    for i in range(8):  # more than are told one by one
        await office.come(f"user-{i}")
    rooms, key = (campaign(new_id()), organization(office.tenant)), new_id()
    await commands.publish(build_event(office.tenant, "e", 1, rooms, Options(), key=key, conflate="c"))
    for what in (office.talk, "*", "token/1"):
        await office.take_away("ann", what)
    left = await office.keys()
    presence = {"leases", "sockets", "online", "changes", "pending", "rate", "due"}
    presence |= {"viewers", "told", "typing", "typed"}
    history = {"meta", "session", "log", "tail", "latest", "once", "revoked"}
    # What holds for half a second may be over by now.
    assert {name.partition(":")[0] for name in left} | {"rate", "told"} == presence | history
    assert [name for name, left_ms in left.items() if left_ms == -1] == []


async def test_a_tenants_history_outlives_its_longest_log_and_its_last_socket(office: Office) -> None:
    ann = await office.come("ann")
    longest_ms = 30 * DAY_S * 1000
    assert (await office.keys())["meta"] > longest_ms * 0.99
    await office._redis.persist(office.key("meta"))
    await office.sweep(ann)
    assert (await office.keys())["meta"] > longest_ms * 0.99


async def test_the_list_of_processes_ends_with_the_last_of_them(commands: Commands, redis_client: Any) -> None:
    registry = Registry(commands, "one", dict)
    await registry.start("http://127.0.0.1:1", "")
    try:
        assert await redis_client.pttl(INDEX) > 0
    finally:
        await registry.stop()


# -- none grows


async def test_users_who_come_and_go_for_ever_leave_no_more_than_a_few_of_them(office: Office) -> None:
    sizes = []
    for i in range(5):
        for batch in range(0, 700, 50):
            names = [f"user-{i}-{batch + n}" for n in range(50)]
            sockets = await asyncio.gather(*map(office.come, names))
            await asyncio.gather(*(office.sessions.end(socket.session_ref) for socket in sockets))
        await _age(office, TIMES.missed_s + 60.0)
        await office.sweep()
        assert await count(office, "changes") <= REMEMBERED
        names = [name for name in await office.keys() if name != "pending"]
        sizes.append(sum([await office._redis.memory_usage(office.key(name)) or 0 for name in names]))
    assert max(sizes[1:]) <= 1.5 * sizes[1], sizes


async def test_what_a_socket_may_have_missed_is_remembered_however_much_it_is(office: Office) -> None:
    many = [f"user-{i}" for i in range(20_000)]
    await fill(office, "changes", many, now() - (TIMES.missed_s - 60.0) * SEQ_PER_S)
    await office.come("ann")
    await office.sweep()
    assert await count(office, "changes") == len(many) + 1


async def test_a_few_changes_are_remembered_for_as_long_as_a_replica_may_be_away(office: Office) -> None:
    few = [f"user-{i}" for i in range(REMEMBERED - 1)]
    await fill(office, "changes", few, now() - DAY_S * SEQ_PER_S)
    await office.come("ann")
    await office.sweep()
    assert await count(office, "changes") == REMEMBERED


async def test_changes_that_come_faster_than_they_can_be_told_wait_in_no_endless_queue(office: Office) -> None:
    await fill(office, "pending", [f"user-{i}" for i in range(50_000)], now() - SEQ_PER_S)
    for i in range(8):  # more than are told one by one
        await office.come(f"new-{i}")
    assert await count(office, "pending") == MOST_WAITING
    assert await office._redis.zscore(office.key("pending"), "new-7") is not None


async def test_who_typed_in_a_room_once_is_forgotten(office: Office, redis_client: Any) -> None:
    await fill(office, f"typed:{office.talk}", [f"u-{i}" for i in range(5000)], now() - DAY_S * 1e6)
    ann = await office.come("ann", office.talk)
    await office.type(ann)
    await office.type(ann, typing=False)
    assert await redis_client.zrange(office.key(f"typed:{office.talk}"), 0, -1) == [b"ann"]


async def test_however_many_type_all_of_them_have_stopped_in_the_end(office: Office) -> None:
    sockets = [await office.come(f"user-{i}", office.talk) for i in range(MOST_LOOKED_AT + 60)]
    for socket in sockets:
        await office.type(socket)
    await office.pass_time(TIMES.typing_s + 1)
    while (await office.sweep(*sockets)).delay_ms == 0:
        pass
    assert f"typing:{office.talk}" not in await office.keys()


# -- what was taken away


@pytest.fixture
def revoked(office: Office) -> str:
    return wire.revoked_key(office.tenant, "ann")


async def test_what_was_taken_away_long_ago_is_forgotten_though_more_is_taken_away_every_hour(
    office: Office, redis_client: Any, revoked: str
) -> None:
    sizes = []
    for day in range(6):
        await asyncio.gather(*(office.take_away("ann", f"token/{day}-{i}") for i in range(50)))
        await _age_hash(redis_client, revoked, 1.01 * DAY_S)
        sizes.append(await redis_client.hlen(revoked))
    assert max(sizes) <= 50 + 32, sizes


async def test_what_was_taken_away_within_the_time_is_remembered(
    office: Office, redis_client: Any, revoked: str
) -> None:
    for hour in range(23):
        await office.take_away("ann", f"token/{hour}")
        await asyncio.gather(*(office.take_away("ann", f"conversation:{hour}-{i}") for i in range(10)))
        await _age_hash(redis_client, revoked, 3600.0)
    await office.take_away("ann", "*")
    await office.take_away("ann", "before", "2000.5")
    fields = {name.decode() for name in await redis_client.hkeys(revoked)}
    assert fields >= {f"token/{hour}" for hour in range(23)} | {"*", "before", "conversation:0-0"}


async def test_a_publisher_that_wants_it_remembered_longer_is_heeded(
    office: Office, commands: Commands, redis_client: Any, revoked: str
) -> None:
    longer = Options(revoked_ttl_s=10 * DAY_S)
    await commands.publish(build_control(office.tenant, "ann", {"do": "x"}, longer, revoke="token/mine"))
    await _age_hash(redis_client, revoked, 3 * DAY_S)
    for i in range(100):
        await office.take_away("ann", f"token/{i}")
    assert await redis_client.hexists(revoked, "token/mine")
    await _age_hash(redis_client, revoked, 8 * DAY_S)
    for i in range(100):
        await office.take_away("ann", f"token/later-{i}")
    assert not await redis_client.hexists(revoked, "token/mine")


async def _age(office: Office, seconds: float) -> None:
    """Let time pass for what was remembered of changes."""
    found = await office._redis.zrange(office.key("changes"), 0, -1, withscores=True)
    for i in range(0, len(found), 5000):
        aged = {member: at - seconds * SEQ_PER_S for member, at in found[i : i + 5000]}
        await office._redis.zadd(office.key("changes"), aged)


async def _age_hash(client: Any, key: str, seconds: float) -> None:
    """Let time pass for what was taken away."""
    found = await client.hgetall(key)
    seqs = {name: int(seq) for name, seq in found.items() if name not in (b"before", b"kept")}
    await client.hset(key, mapping={name: int(seq - seconds * SEQ_PER_S) for name, seq in seqs.items()})
