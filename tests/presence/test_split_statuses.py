"""Many changes of presence at once: in one event for those who take it, one by one for the others."""

from __future__ import annotations

import json

import pytest

from gateway.core.limits import LIMITS
from gateway.presence.split_statuses import split
from tests.core.parts import Socket, World

TOLD = ["user:statuses", {"online": ["ann", "cid"], "offline": ["dan"]}]
EACH = [
    ["user:status", {"user_id": "dan", "status": "offline"}],
    ["user:status", {"user_id": "ann", "status": "online"}],
    ["user:status", {"user_id": "cid", "status": "online"}],
]


@pytest.fixture
def world() -> World:
    return World(split=split)


def tell(world: World, seq: int, body: object = TOLD) -> None:
    world.receive(world.room(), seq, flag="e", body=json.dumps(body, separators=(",", ":")))


def test_who_takes_it_is_told_in_one_event_and_the_others_one_by_one(world: World) -> None:
    member, takes = world.member(world.room())
    member.takes_statuses = True
    _, plain = world.member(world.room())
    tell(world, 1)
    assert (takes.events, plain.events) == ([TOLD], EACH)


@pytest.mark.parametrize("count", [LIMITS.fan_out_bundles, LIMITS.fan_out_bundles + 1, LIMITS.fan_out_sockets + 1])
def test_a_crowd_of_both_is_told_once_each(world: World, count: int) -> None:
    sockets: list[tuple[Socket, bool]] = []
    for number in range(2 * count):
        member, socket = world.member(world.room())
        member.takes_statuses = number % 2 == 0
        sockets.append((socket, member.takes_statuses))
    tell(world, 1)
    assert all(socket.events == ([TOLD] if takes else EACH) for socket, takes in sockets)


def test_a_member_is_given_nothing_that_it_had_and_nothing_of_its_own(world: World) -> None:
    _, late = world.member(world.room(), last_seq=5)
    member, own = world.member(world.room())
    member.identity = member.identity._replace(user_id="ann")
    tell(world, 5)
    assert (late.events, own.events) == ([], [EACH[0], EACH[2]])


def test_who_alone_came_is_told_nothing_at_all(world: World) -> None:
    _, own = world.member(world.room())
    tell(world, 1, ["user:statuses", {"online": ["bob"], "offline": []}])
    assert own.frames == []


def test_one_that_is_to_be_recovered_is_a_backends_own(world: World) -> None:
    _, socket = world.member(world.room())
    world.receive(world.room(), 1, body=json.dumps(TOLD, separators=(",", ":")))
    assert socket.events == [[*TOLD, "e1-1"]]


def test_a_corked_member_keeps_them_in_their_place(world: World) -> None:
    member, socket = world.member(world.room())
    member.hold()
    tell(world, 1)
    world.receive(world.room(), 2, flag="e")
    member.uncork()
    assert socket.events == [*EACH, ["e", 2]]


@pytest.mark.parametrize("data", [None, {}, {"online": "ann", "offline": []}, {"online": [1], "offline": []}])
def test_one_that_a_backend_made_up_is_handed_on_as_it_is(world: World, data: object) -> None:
    _, socket = world.member(world.room())
    tell(world, 1, ["user:statuses", data])
    assert socket.events == [["user:statuses", data]]
