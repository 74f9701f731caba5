"""Who is online, as the scripts have it: leases, graces, and what is told of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.redis.commands import Commands
from tests.support.office import Office, new_office


async def test_a_user_comes_online_once_whatever_the_number_of_sockets(office: Office) -> None:
    for _ in range(3):
        await office.come("ann")
    assert await office.told() == [("user:status", {"user_id": "ann", "status": "online"}, "@ann")]
    assert await office.online() == ["ann"]


async def test_a_user_with_one_of_three_sockets_left_is_online(office: Office) -> None:
    sockets = [await office.come("ann") for _ in range(3)]
    await office.told()
    await office.drop(*sockets[:2])
    await office.pass_time(6)
    await office.sweep(sockets[2])
    assert await office.told() == []
    assert await office.online() == ["ann"]


async def test_a_user_goes_offline_once_a_grace_after_the_last_socket(office: Office) -> None:
    sockets = [await office.come("ann") for _ in range(3)]
    await office.told()
    await office.drop(*sockets)
    assert office.delays == [5500] * 3
    await office.pass_time(5)
    swept = await office.sweep()
    assert 0 < swept.delay_ms <= 500
    assert await office.told() == []
    await office.pass_time(1)
    for _ in range(3):
        await office.sweep()
    assert await office.statuses() == [("ann", "offline")]
    assert await office.online() == []


async def test_who_comes_back_within_the_grace_never_went(office: Office) -> None:
    ann = await office.come("ann", office.talk)
    bob = await office.come("bob", office.talk)
    await office.settle(ann, bob)
    for _ in range(10):
        await office.drop(ann)
        await office.pass_time(4)
        await office.sweep(bob)
        await office.come_back(ann)
    await office.pass_time(6)
    await office.sweep(ann, bob)
    assert await office.told() == []


async def test_a_page_that_is_reloaded_never_went_though_it_said_goodbye(office: Office) -> None:
    ann = await office.come("ann")
    await office.told()
    for _ in range(10):
        await office.sessions.end(ann.session_ref, at_once=False)
        ann = await office.come("ann")
    await office.pass_time(6)
    await office.sweep(ann)
    assert await office.told() == []
    await office.sessions.end(ann.session_ref, at_once=False)
    assert (await office.come_back(ann)).session is None
    await office.pass_time(6)
    await office.sweep()
    assert await office.statuses() == [("ann", "offline")]


async def test_who_is_sent_away_is_offline_at_once_and_leaves_no_session(office: Office) -> None:
    ann = await office.come("ann")
    await office.sessions.end(ann.session_ref)
    assert await office.statuses() == [("ann", "online"), ("ann", "offline")]
    assert [name for name in await office.keys() if name.startswith(("session:", "sockets:"))] == []


async def test_what_a_socket_left_behind_is_gone_after_the_grace(office: Office) -> None:
    ann = await office.come("ann", office.talk)
    await office.sessions.end(ann.session_ref, at_once=False)
    await office.pass_time(6)
    await office.sweep()
    gone = ("session:", "sockets:", "viewers:", "leases", "online")
    assert [name for name in await office.keys() if name.startswith(gone)] == []


async def test_a_socket_that_its_replica_moves_has_the_whole_lease(office: Office) -> None:
    ann = await office.come("ann")
    await office.told()
    await office.drop(ann, moving=True)
    for _ in range(3):
        await office.pass_time(10)
        await office.sweep()
    assert await office.told() == []
    await office.pass_time(1)
    await office.sweep()
    assert await office.statuses() == [("ann", "offline")]


async def test_the_users_of_a_killed_replica_go_offline_when_their_leases_end(office: Office) -> None:
    ann, bob = await office.come("ann", office.talk), await office.come("bob", office.talk)
    await office.settle(ann, bob)
    for _ in range(3):
        await office.pass_time(10)
        swept = await office.sweep(bob)
    assert 0 < swept.delay_ms <= 500
    assert await office.online() == ["ann", "bob"]
    await office.pass_time(1)
    await office.sweep(bob)
    assert await office.told() == [
        ("conversation:viewers", {**office.named, "user_ids": ["bob"], "sockets": 1}, "-"),
        ("user:status", {"user_id": "ann", "status": "offline"}, "@ann"),
    ]
    assert ann.user not in await office.online()


async def test_a_socket_that_was_taken_for_gone_is_named_by_the_next_renewal(office: Office) -> None:
    ann, bob = await office.come("ann"), await office.come("bob")
    for _ in range(4):
        await office.pass_time(10)
        await office.sweep(bob)
    assert (await office.sweep(bob, ann)).unknown == [1]


async def test_a_grace_in_a_tenant_that_was_empty_is_a_grace(office: Office) -> None:
    ann = await office.come("ann")
    await office.drop(ann)
    await office.pass_time(6)
    await office.sweep()
    assert await office.online() == []


async def test_nobody_flickers_when_redis_was_away_for_longer_than_a_lease(office: Office) -> None:
    here = [await office.come(f"here-{number}") for number in range(3)]
    there = [await office.come(f"there-{number}") for number in range(150)]
    gone = await office.come("gone")
    for _ in range(5):
        await office.pass_time(5)
        await office.sweep(*here, *there)
    await office.told()
    await office.pass_time(60)
    for _ in range(5):
        # One replica is back, and looks, before the other one is.
        assert 0 < (await office.sweep(*here)).delay_ms <= 20_400
    await office.pass_time(9)
    assert (await office.sweep(*there)).unknown == []
    assert await office.statuses() == []
    await office.pass_time(12)
    await office.sweep(*here, *there)
    assert await office.statuses() == [(gone.user, "offline")]


async def test_users_of_replicas_that_all_were_killed_are_seen_off_soon_after_somebody_comes(
    office: Office,
) -> None:
    await office.come("ann")
    await office.pass_time(3600)
    office.delays.clear()
    bob = await office.come("bob")
    assert office.delays == [0]
    for _ in range(3):
        await office.sweep(bob)
        assert await office.online() == ["ann", "bob"]
        await office.pass_time(10)
    await office.sweep(bob)
    assert await office.online() == ["bob"]


async def test_many_changes_are_told_together_and_a_few_at_once(office: Office) -> None:
    users = [f"user-{number:04}" for number in range(500)]
    for name in users:
        await office.come(name)
    told = await office.told()
    assert [name for name, _, _ in told] == ["user:status"] * 5
    assert len(office.delays) == 495
    assert 1000 == min(office.delays) < max(office.delays) <= 1250
    while (await office.sweep()).delay_ms <= 1250:
        together = await office.told()
        assert len(together) <= 1, "a second has more than one event of many"
        told += together
        await office.pass_time(1)
    assert [name for name, _, _ in told[5:]] == ["user:statuses"] * 3
    assert max(len(data["online"]) for _, data, _ in told[5:]) == 200
    assert sorted(user for _, data, _ in told[5:] for user in data["online"]) == users[5:]
    assert len(json.dumps(told[6])) < 3000


async def test_a_change_that_is_told_late_is_told_as_it_is_by_then(office: Office) -> None:
    sockets = [await office.come(f"user-{number}") for number in range(8)]
    await office.sessions.end(sockets[7].session_ref)
    await office.told()
    await office.sweep()
    ((name, data, skip),) = await office.told()
    assert (name, skip) == ("user:statuses", "-")
    assert data == {"online": ["user-5", "user-6"], "offline": ["user-7"]}


async def test_one_change_that_is_told_late_is_not_told_to_its_user(office: Office) -> None:
    for number in range(6):
        await office.come(f"user-{number}")
    await office.told()
    await office.sweep()
    assert await office.told() == [("user:statuses", {"online": ["user-5"], "offline": []}, "@user-5")]


async def test_who_was_away_when_a_change_was_told_late_has_missed_it(office: Office) -> None:
    """Also if the socket was still there at the change itself."""
    for number in range(7):
        await office.come(f"user-{number}")
    left_at = await office.seq()  # as of the last arrival: behind the change of user-5
    await office.sweep()
    assert [name for name, _, _ in await office.told()][-1] == "user:statuses"
    missed = (await office.presence.read(office.tenant, [], "ann", left_at)).statuses
    assert missed is not None
    assert json.loads(missed)[1] == {"online": ["user-5", "user-6"], "offline": []}


async def test_what_a_socket_missed_is_what_changed_since_but_for_itself(office: Office) -> None:
    ann, bob = await office.come("ann"), await office.come("bob")
    before = await office.seq()
    await office.drop(ann)
    await office.sessions.end(bob.session_ref)
    await office.come("cid")
    await office.sessions.end(ann.session_ref)

    async def missed(after: int | None) -> Any:
        statuses = (await office.presence.read(office.tenant, [], "ann", after)).statuses
        return json.loads(statuses)[1] if statuses is not None else None

    assert await missed(before) == {"online": ["cid"], "offline": ["bob"]}
    assert await missed(await office.seq()) is None
    assert await missed(None) is None


async def test_a_change_counts_as_missed_also_where_the_clock_is_behind_the_history(
    office: Office, redis_client: Any
) -> None:
    await office.come("ann")
    ahead = 9_000_000_000_000_000
    await redis_client.hset(office.key("meta"), "seq", ahead)
    await office.come("bob")
    found = await office.presence.read(office.tenant, [], "ann", ahead)
    assert found.statuses == b'["user:statuses",{"online":["bob"],"offline":[]}]'
    assert found.seq > ahead


@pytest.mark.parametrize("how", ["token", "before"])
async def test_who_brings_a_void_token_is_not_there(office: Office, how: str) -> None:
    ann = await office.come("ann", token_id="t1", issued_at=1000.0)
    await office.drop(ann)
    await office.pass_time(6)
    await office.sweep()
    await office.told()
    await office.take_away("ann", *(("token/t1",) if how == "token" else ("before", "1001")))
    await office.come("ann", token_id="t1", issued_at=1000.0)
    await office.come_back(ann)
    assert await office.told() == []
    await office.come("ann", token_id="t2", issued_at=2000.0)
    assert await office.statuses() == [("ann", "online")]


async def test_the_oldest_of_too_many_sockets_goes_and_its_user_stays(
    commands: Commands, redis_client: Any
) -> None:
    office = await new_office(commands, redis_client, most=2)
    for _ in range(4):
        last = await office.come("ann", office.talk)
    assert (await office.join(last)).viewers is not None
    assert await office.statuses() == [("ann", "online")]
    found = await office.presence.read(office.tenant, [office.talk], "bob")
    assert json.loads(found.rooms[0].viewers or b"")[1]["sockets"] == 2
    await office.close()


async def test_another_tenants_people_are_others(office: Office, commands: Commands, redis_client: Any) -> None:
    other = await new_office(commands, redis_client)
    other.talk = office.talk
    ann, eve = await office.come("ann"), await other.come("eve")
    await office.join(ann)
    await other.join(eve)
    assert await other.viewers() == [(["eve"], 1)]
    await office.told()
    await office.type(ann)
    assert [name for name, _, _ in await office.told()] == ["user_typing"]
    assert await other.told() == []
    assert (await other.online(), await office.online()) == (["eve"], ["ann"])
    await other.close()
