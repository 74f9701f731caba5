"""Who types, as the scripts have it."""

from __future__ import annotations

from publisher import conversation
from tests.support.office import Office
from tests.support.tokens import new_id


async def test_typing_is_told_once_however_often_it_is_said(office: Office) -> None:
    ann = await office.come("ann", office.talk)
    await office.told()
    for _ in range(5):
        assert await office.type(ann) == 6500
        await office.pass_time(2)
        await office.sweep(ann)
    assert await office.told() == [("user_typing", {**office.named, "user_id": "ann", "typing": True}, "@ann")]
    await office.type(ann, typing=False)
    await office.type(ann, typing=False)
    assert await office.told() == [("user_typing", {**office.named, "user_id": "ann", "typing": False}, "@ann")]


async def test_typing_ends_by_itself_and_asks_to_be_looked_at_in_time(office: Office) -> None:
    ann = await office.come("ann", office.talk)
    await office.told()
    await office.type(ann)
    await office.pass_time(6)
    assert 0 < (await office.sweep(ann)).delay_ms <= 500
    await office.pass_time(1)
    await office.sweep(ann)
    assert await office.typing() == [("ann", True), ("ann", False)]
    await office.type(ann)
    assert await office.typing() == [("ann", True)]


async def test_one_who_types_on_does_not_keep_another_typing(office: Office) -> None:
    ann, bob = await office.come("ann", office.talk), await office.come("bob", office.talk)
    await office.told()
    await office.type(ann)
    for _ in range(4):
        await office.type(bob)
        await office.pass_time(2)
        await office.sweep(ann, bob)
    assert await office.typing() == [("ann", True), ("bob", True), ("ann", False)]
    found = await office.presence.read(office.tenant, [office.talk], "cid")
    assert found.rooms[0].typists == ["bob"]


async def test_typing_ends_with_leaving_and_with_the_socket(office: Office) -> None:
    ann, bob = await office.come("ann", office.talk), await office.come("bob", office.talk)
    await office.told()
    await office.type(ann)
    await office.type(bob)
    await office.leave(ann)
    await office.drop(bob, typing=[office.talk])
    assert await office.typing() == [("ann", True), ("bob", True), ("ann", False), ("bob", False)]


async def test_a_tab_that_goes_does_not_end_the_typing_in_another(office: Office) -> None:
    ann, again = await office.come("ann", office.talk), await office.come("ann", office.talk)
    await office.told()
    await office.type(ann)
    await office.type(again)
    await office.leave(again)
    assert await office.typing() == [("ann", True)]
    await office.drop(ann, typing=[office.talk])
    assert await office.typing() == [("ann", False)]


async def test_own_tabs_that_hear_of_the_typing_hear_of_its_end(office: Office) -> None:
    ann = await office.come("ann", office.talk)
    await office.told()
    await office.type(ann, skip=ann.sid)
    await office.pass_time(7)
    await office.sweep(ann)
    assert [skip for _, _, skip in await office.told()] == [ann.sid, ann.sid]


async def test_who_comes_back_hears_who_types_and_who_has_stopped_since(office: Office) -> None:
    ann, bob = await office.come("ann", office.talk), await office.come("bob", office.talk)
    await office.type(ann)
    before = await office.seq()
    await office.type(bob)
    await office.type(ann, typing=False)
    (room,) = (await office.presence.read(office.tenant, [office.talk], "cid", before)).rooms
    assert (room.typists, room.stopped) == (["bob"], ["ann"])
    (room,) = (await office.presence.read(office.tenant, [office.talk], "cid", await office.seq())).rooms
    assert (room.typists, room.stopped) == (["bob"], [])
    cid = await office.come("cid")
    joined = await office.join(cid, after=before)
    assert (joined.typists, joined.stopped) == (["bob"], ["ann"])
    await office.type(ann)
    (room,) = (await office.presence.read(office.tenant, [office.talk], "cid", before)).rooms
    assert (sorted(room.typists), room.stopped) == (["ann", "bob"], [])


async def test_what_a_replica_did_not_hear_is_told_once_more(office: Office) -> None:
    other = conversation(new_id())
    ann, bob = await office.come("ann", office.talk), await office.come("bob", office.talk, other)
    await office.type(bob)
    before = await office.seq()
    await office.type(ann)
    await office.type(bob, typing=False)
    await office.come("cid")
    await office.pass_time(1)
    await office.told()
    assert await office.presence.tell_again(office.tenant, before, [office.talk, other]) == 1000
    await office.sweep()
    told = [(name, data, skip) for name, data, skip in await office.told() if name != "conversation:viewers"]
    assert told == [
        ("user_typing", {**office.named, "user_id": "bob", "typing": False}, "@bob"),
        ("user_typing", {**office.named, "user_id": "ann", "typing": True}, "@ann"),
        ("user:statuses", {"online": ["cid"], "offline": []}, "@cid"),
    ]
