"""The hub: who gets an event, who does not, and what it can't settle by itself."""

from __future__ import annotations

import random

import pytest

from gateway.core.frames import encode
from gateway.core.hub import merge
from gateway.core.limits import LIMITS, Limits
from gateway.core.model import RoomState
from publisher.wire import Message, parse_message
from tests.core.parts import World
from tests.support.tokens import new_id


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def room(world: World) -> RoomState:
    return world.room()


def test_an_event_goes_to_the_members_of_its_room_and_to_nobody_else(world: World) -> None:
    room, other = world.room("user:a"), world.room("user:b")
    _, first = world.member(room)
    _, second = world.member(room, other)
    _, third = world.member(other)
    world.receive(room, 5)
    assert (first.data, second.data, third.data) == ([5], [5], [])


def test_a_room_of_the_same_name_under_another_tenant_is_another_room(world: World) -> None:
    theirs = world.hub.room(world.hub.tenant(new_id()), world.room().name)
    _, ours = world.member(world.room())
    world.receive(theirs, 5)
    assert ours.data == []


def test_all_members_are_given_the_same_bytes(world: World, room: RoomState) -> None:
    sockets = [world.member(room)[1] for _ in range(3)]
    world.receive(room, 5, data={"a": "ü"})
    assert len({id(socket.frames[0]) for socket in sockets}) == 1
    expected = '42["e",{"a":"ü"},"e1-5"]'.encode()
    assert sockets[0].frames[0].packet == expected
    assert sockets[0].frames[0].wire == encode(0x81, expected)


def test_a_recoverable_event_carries_its_offset_and_an_ephemeral_one_does_not(world: World) -> None:
    room = world.room()
    _, socket = world.member(room)
    world.receive(room, 5)
    world.receive(room, 6, flag="e", previous=0)
    assert socket.events == [["e", 5, "e1-5"], ["e", 6]]


def test_a_socket_in_two_rooms_of_an_event_gets_it_once(world: World) -> None:
    first, second = world.room("user:a"), world.room("user:b")
    _, socket = world.member(first, second)
    for room in (first, second):
        world.receive(room, 5)
    assert socket.data == [5]


def test_the_senders_own_socket_is_left_out_in_every_room(world: World) -> None:
    first, second = world.room("user:a"), world.room("user:b")
    _, sender = world.member(first, second, sid="me")
    _, other = world.member(first)
    for room in (first, second):
        world.receive(room, 5, skip="me")
    world.receive(first, 6)
    assert (sender.data, other.data) == ([6], [5, 6])


def test_what_a_socket_had_before_is_not_for_it_any_more(world: World, room: RoomState) -> None:
    _, socket = world.member(room, last_seq=5)
    for seq in (4, 5, 6):
        world.receive(room, seq)
    assert socket.data == [6]


def test_a_corked_member_keeps_its_events_and_their_order(world: World, room: RoomState) -> None:
    member, socket = world.member(room)
    member.hold()
    world.receive(room, 5)
    world.receive(room, 6, flag="e", previous=0)
    assert socket.data == []
    member.uncork()
    world.receive(room, 7)
    assert socket.data == [5, 6, 7]


def test_a_cork_that_grows_without_end_closes_its_socket() -> None:
    world = World(limits=Limits(cork_events=3))
    room = world.room()
    member, socket = world.member(room)
    member.cork = []
    for seq in range(1, 6):
        world.receive(room, seq)
    assert [corked.seq for corked in member.cork] == [1, 2, 3]
    assert socket.closed


def test_a_member_that_left_gets_nothing_more(world: World, room: RoomState) -> None:
    member, socket = world.member(room)
    world.receive(room, 5)
    assert room.remove(member)
    assert not room.remove(member)
    world.receive(room, 6)
    assert socket.data == [5]


def test_two_sockets_of_one_session_are_two_members(world: World, room: RoomState) -> None:
    first, socket = world.member(room, sid="same")
    _, second = world.member(room, sid="same")
    room.remove(first)
    world.receive(room, 5)
    assert (socket.data, second.data) == ([], [5])


# -- large rooms


def test_a_large_room_is_served_in_pieces_and_in_order(world: World, room: RoomState) -> None:
    sockets = [world.member(room)[1] for _ in range(2 * LIMITS.fan_out_sockets + 1)]
    rest = world.hub.receive(room.channel, world.message(room, 5))
    served = []
    while rest is not None:
        served.append(sum(bool(socket.data) for socket in sockets))
        rest = rest()
    assert served == [LIMITS.fan_out_sockets, 2 * LIMITS.fan_out_sockets]
    assert all(socket.data == [5] for socket in sockets)
    assert world.hub.delivery_stats.deliveries == len(sockets)


def test_who_comes_or_goes_while_a_large_room_is_served_changes_nothing_for_the_others(world: World) -> None:
    room = world.room()
    members = [world.member(room) for _ in range(LIMITS.fan_out_sockets + 10)]
    rest = world.hub.receive(room.channel, world.message(room, 5))
    room.remove(members[0][0])
    _, late = world.member(room, last_seq=world.tenant.position)
    while rest is not None:
        rest = rest()
    assert all(socket.data == [5] for _, socket in members)
    assert late.data == []


# -- what it can't settle


def test_a_message_for_nobody_is_counted_and_costs_nothing(world: World) -> None:
    assert world.hub.receive(b"rt:{x}:room:user:bob", b"whatever") is None
    assert world.hub.stats.unheard == 1


NO_MESSAGES = [b"", b"nonsense", b"\x80\x04pickle", b"e1-9 0 r -\n", b"e1-9 0 r -\n{}"]
BAD_HEADERS = [b"e1-9 0 r \xff", b"\xff-9 0 r -", b"e1-9 0 x -", b"e1-99999999999999999999999 0 r"]


@pytest.mark.parametrize("raw", [*NO_MESSAGES, *(header + b'\n["e",1]' for header in BAD_HEADERS)])
def test_a_malformed_message_is_counted_and_stops_nobody(world: World, room: RoomState, raw: bytes) -> None:
    _, socket = world.member(room)
    world.receive(room, 5)
    assert world.hub.receive(room.channel, raw) is None
    world.receive(room, 6)
    assert world.hub.stats.malformed == 1
    assert socket.data == [5, 6]
    assert world.troubles.gaps == []


def test_a_hole_before_a_message_is_noticed_and_holds_the_tenant_back(world: World) -> None:
    room, other = world.room("user:a"), world.room("user:b")
    _, socket = world.member(room, other)
    world.receive(room, 5)
    world.receive(room, 8, previous=7)
    world.receive(other, 9)
    world.receive(room, 10, flag="e", previous=0)
    assert world.troubles.gaps == [room]
    assert socket.data == [5]
    assert world.tenant.backlog is not None
    # What is ephemeral is not worth keeping.
    assert [message.seq for _, message in world.tenant.backlog] == [8, 9]


def test_another_tenant_is_not_held_back(world: World) -> None:
    other = World()
    room, theirs = world.room(), world.hub.room(world.hub.tenant(new_id()), other.room().name)
    theirs.last_seq = 0
    member, socket = world.member(theirs)
    world.receive(room, 8, previous=7)
    world.receive(theirs, 9, previous=0)
    assert socket.data == [9]
    assert member.last_seq == 9


def test_a_room_that_was_just_heard_has_no_hole(world: World) -> None:
    room = world.hub.room(world.tenant, world.room("user:new").name)
    room.last_seq = None
    world.receive(room, 8, previous=7)
    assert world.troubles.gaps == []
    assert room.last_seq == 8


def test_an_event_that_does_not_know_the_one_before_it_has_the_logs_looked_up(world: World) -> None:
    room = world.room()
    _, socket = world.member(room)
    world.receive(room, 5)
    world.receive(room, 8)
    world.receive(room, 9, previous=5)
    assert (socket.data, world.troubles.gaps) == ([5, 8], [room])


def test_a_first_event_after_a_long_silence_names_none_before_it(world: World, room: RoomState) -> None:
    _, socket = world.member(room)
    world.receive(room, 5)
    world.receive(room, 8, previous=0)
    assert (socket.data, world.troubles.gaps) == ([5, 8], [])


def test_what_was_handed_out_already_is_no_hole_and_no_event(world: World, room: RoomState) -> None:
    _, socket = world.member(room)
    world.receive(room, 5)
    world.receive(room, 5, previous=4)
    assert (socket.data, world.hub.stats.repeated, world.troubles.gaps) == ([5], 1, [])


def test_another_epoch_is_noticed_before_anybody_gets_anything_of_it(world: World, room: RoomState) -> None:
    _, socket = world.member(room)
    world.receive(room, 5)
    world.receive(room, 2, epoch="e2", previous=0)
    assert (socket.data, world.troubles.gaps, world.hub.stats.gaps) == ([5], [room], 0)


def test_control_messages_are_passed_on_and_reach_no_browser(world: World, room: RoomState) -> None:
    _, socket = world.member(room)
    world.receive(room, 5, flag="c", previous=0, body='{"do":"x"}')
    assert (world.troubles.controls, socket.data) == ([b'{"do":"x"}'], [])


def test_a_backlog_is_bounded_and_says_so() -> None:
    world = World(limits=Limits(backlog_messages=10))
    room = world.room()
    world.tenant.backlog = []
    for seq in range(1, 26):
        world.receive(room, seq)
    assert len(world.tenant.backlog) <= 10
    assert world.tenant.overrun


def test_the_position_is_the_last_seq_that_was_handed_out(world: World) -> None:
    first, second = world.room("user:a"), world.room("user:b")
    world.receive(first, 5)
    world.receive(second, 7)
    assert (world.tenant.position, first.last_seq, second.last_seq) == (6, 5, 7)


def test_who_joins_behind_a_control_message_has_joined_later(world: World) -> None:
    room = world.room("user:a")
    world.receive(room, 5, flag="c", previous=0, body='{"do":"leave"}')
    assert world.tenant.position == 5
    world.receive(room, 7, flag="c", previous=0, body='{"do":"leave"}', epoch="another")
    assert world.tenant.position == 5


def test_a_control_message_that_overtakes_events_moves_no_position(world: World) -> None:
    world.tenant.overrun = True
    world.receive(world.room("user:a"), 5, flag="c", previous=0, body='{"do":"leave"}')
    assert world.tenant.position == 0


def test_nothing_is_left_of_a_tenant_that_nobody_is_in(world: World) -> None:
    rooms = [world.room("user:a"), world.room("user:b")]
    for room in rooms:
        world.hub.remove_room(room)
    assert (world.hub.tenants, world.hub.channels) == ({}, {})


def test_a_tenant_that_waits_for_a_resync_is_not_forgotten(world: World) -> None:
    world.tenant.backlog = []
    world.hub.remove_room(world.room())
    assert world.tenant.id in world.hub.tenants


# -- merge


def messages(room: RoomState, *seqs: int, flag: str = "r") -> list[tuple[RoomState, Message]]:
    return [(room, parse_message(f'e1-{seq} 0 {flag} -\n["e",{seq}]'.encode())) for seq in seqs]


def test_merging_gives_each_event_once_for_each_of_its_rooms_in_order(world: World) -> None:
    first, second = world.room("user:a"), world.room("user:b")
    logged = [*messages(first, 1, 3, 5), *messages(second, 3, 4)]
    live = [*messages(second, 4, 6), *messages(first, 5, 7)]
    random.Random(7).shuffle(logged)
    merged = merge(live, logged)
    found = [f"{room.name[-1]}{message.seq}" for room, message in merged]
    assert found == ["a1", "a3", "b3", "b4", "a5", "b6", "a7"]


def test_control_messages_have_the_seq_of_an_event_and_of_each_other_and_none_is_left_out(world: World) -> None:
    room = world.room()
    event, evicted = messages(room, 5), messages(room, 5, flag="c")
    assert merge([*event, *evicted, *evicted], messages(room, 5)) == [*event, *evicted, *evicted]


def test_an_event_too_large_for_any_socket_is_a_gap_of_its_room() -> None:
    world = World(max_event_bytes=50)
    room = world.room()
    _, socket = world.member(room)
    world.receive(room, 5, data="x" * 60)
    assert socket.data == []
    assert (world.troubles.gaps, world.hub.stats.oversized) == ([room], 1)
    assert (world.tenant.backlog, world.tenant.overrun) == ([], True)


def test_one_that_comes_during_a_resync_has_the_logs_read_once_more() -> None:
    world = World(max_event_bytes=50)
    room = world.room()
    world.tenant.backlog = []
    world.receive(room, 5, data="x" * 60)
    assert (world.troubles.gaps, world.tenant.backlog, world.tenant.overrun) == ([], [], True)


def test_one_that_is_known_already_or_ephemeral_is_no_gap() -> None:
    world = World(max_event_bytes=50)
    room = world.room()
    _, socket = world.member(room)
    world.receive(room, 5)
    world.receive(room, 4, data="x" * 60, previous=0)
    world.receive(room, 6, data={"text": "x" * 60}, flag="e")
    assert (socket.data, world.troubles.gaps, world.tenant.backlog) == ([5], [], None)
    assert world.hub.stats.oversized == 2
