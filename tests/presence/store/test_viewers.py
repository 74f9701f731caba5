"""Who looks at a conversation, as the scripts have it."""

from __future__ import annotations

import json

from tests.support.office import Office


async def test_who_joins_is_told_who_looks_and_the_others_hear_of_it(office: Office) -> None:
    ann, bob = await office.come("ann"), await office.come("bob")
    await office.told()
    # The room is told at once, and the socket that joined is in it.
    assert (await office.join(ann)).viewers is None
    assert await office.viewers() == [(["ann"], 1)]
    # It was told just now: the one who joins is told, the others when it is their turn.
    viewers = json.loads((await office.join(bob)).viewers)[1]
    assert viewers == {**office.named, "user_ids": ["ann", "bob"], "sockets": 2}
    assert await office.viewers() == []
    await office.pass_time(1)
    await office.sweep(ann, bob)
    assert await office.viewers() == [(["ann", "bob"], 2)]


async def test_a_second_tab_is_not_told_and_neither_is_its_end(office: Office) -> None:
    ann, again, bob = await office.come("ann"), await office.come("ann"), await office.come("bob")
    await office.join(bob)
    await office.join(ann)
    await office.told()
    viewers = json.loads((await office.join(again)).viewers)[1]
    assert viewers == {**office.named, "user_ids": ["bob", "ann"], "sockets": 3}
    await office.leave(ann)
    assert await office.told() == []
    await office.pass_time(1)
    await office.leave(again)
    assert await office.viewers() == [(["bob"], 1)]


async def test_a_room_is_told_at_most_twice_a_second_and_the_last_word_is_right(office: Office) -> None:
    ann = await office.come("ann", office.talk)
    others = [await office.come(f"user-{number}") for number in range(4)]
    await office.settle(ann, *others)
    await office.pass_time(1)
    for other in others:
        await office.join(other)
        await office.leave(other)
    await office.join(others[0])
    assert await office.viewers() == [(["ann", "user-0"], 2)]
    await office.leave(others[0])
    await office.pass_time(1)
    await office.sweep(ann)
    assert await office.viewers() == [(["ann"], 1)]


async def test_a_crowd_is_told_more_seldom_and_of_some_by_name(office: Office) -> None:
    await office.come("ann", office.talk)
    room = [office.key(f"viewers:{office.talk}"), office.key("leases")]
    await office.pass_time(1)
    await office.told()
    crowd = {f"pid-{number} user-{number}": 9_000_000_000_000_000.0 for number in range(3000)}
    for key in room:
        await office._redis.zadd(key, crowd)
    bob = await office.come("bob")
    assert (await office.join(bob)).viewers is None
    ((names, sockets),) = await office.viewers()
    assert (len(names), sockets) == (50, 3002)
    assert 5000 < (await office.keys())[f"told:{office.talk}"] <= 3002 * 1000 // 400


async def test_who_lost_a_room_while_away_does_not_look_at_it_when_back(office: Office) -> None:
    ann, bob = await office.come("ann"), await office.come("bob", office.talk)
    await office.join(ann)
    await office.drop(ann)
    await office.pass_time(1)
    await office.told()
    await office.take_away("ann", office.talk)
    opened = await office.come_back(ann)
    assert opened.session is not None
    assert office.talk not in opened.session.rooms
    assert await office.viewers() == [(["bob"], 1)]
    await office.pass_time(10)
    assert (await office.sweep(ann, bob)).unknown == []


async def test_viewers_are_told_again_of_each_room_once(office: Office) -> None:
    await office.come("ann", office.talk)
    await office.pass_time(1)
    await office.told()
    for _ in range(3):
        await office.presence.tell_again(office.tenant, await office.seq(), [office.talk])
    assert await office.viewers() == [(["ann"], 1)]
