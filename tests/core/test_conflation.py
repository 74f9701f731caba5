"""Conflation: few, in order, always the last, and nothing that costs an ordinary event anything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.conflation import Pacer, latest
from gateway.core.history import Entry, Log
from gateway.core.limits import LIMITS
from gateway.core.model import RoomState
from gateway.core.replay import in_order, missed_events
from tests.core import parts

PAUSE_S = 0.25


class World(parts.World):
    """A hub with one tenant, that paces, and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], object]]] = []
        super().__init__(pacer=Pacer(1 / PAUSE_S, self._call_later))

    def _call_later(self, delay_s: float, callback: Callable[[], object]) -> None:
        self.timers.append((self.now + delay_s, callback))

    def pass_time(self, seconds: float = PAUSE_S) -> None:
        until = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= until]:
            first = min(due, key=lambda timer: timer[0])
            self.timers.remove(first)
            self.now = first[0]
            first[1]()
        self.now = until

    def progress(self, room: RoomState, *seqs: int, key: str = "k") -> None:
        for seq in seqs:
            self.receive(room, seq, key=key)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def room(world: World) -> RoomState:
    return world.room()


# -- live


def test_the_first_comes_at_once_and_then_the_latest_after_a_while(world: World, room: RoomState) -> None:
    _, socket = world.member(room)
    world.progress(room, 1, 2, 3)
    assert socket.data == [1]
    world.pass_time()
    assert socket.data == [1, 3]
    assert world.hub.stats.conflated == 1


def test_two_hundred_in_a_second_are_a_handful_and_the_last_one(world: World, room: RoomState) -> None:
    _, socket = world.member(room)
    for seq in range(1, 201):
        world.progress(room, seq)
        world.pass_time(1 / 200)
    world.pass_time()
    assert len(socket.data) <= 6
    assert socket.data[-1] == 200
    assert world.hub.stats.conflated == 200 - len(socket.data)
    assert world.hub.delivery_stats.deliveries == len(socket.data)


def test_who_is_told_seldom_is_told_at_once(world: World, room: RoomState) -> None:
    _, socket = world.member(room)
    for seq in (1, 2, 3):
        world.progress(room, seq)
        assert socket.data[-1] == seq
        world.pass_time()
    assert world.hub.stats.conflated == 0


def test_nothing_is_left_of_a_pace_when_nothing_waits(world: World, room: RoomState) -> None:
    member, _ = world.member(room)
    world.progress(room, 1)
    world.pass_time()
    assert (member.cork, member.pace, world.timers) == (None, None, [])


def test_another_event_takes_along_what_waits_ahead_of_itself(world: World, room: RoomState) -> None:
    other = world.room("user:ana")
    _, socket = world.member(room, other)
    world.progress(room, 1, 2)
    world.receive(other, 3)
    assert socket.events == [["e", seq, f"e1-{seq}"] for seq in (1, 2, 3)]
    world.progress(room, 4, 5)
    world.receive(other, 6, flag="e", previous=0)
    assert socket.data == [1, 2, 3, 5, 6]


def test_each_key_has_its_latest_in_the_order_of_publishing(world: World, room: RoomState) -> None:
    _, socket = world.member(room)
    for seq, key in enumerate(["a", "a", "b", "c", "b", "a"], start=1):
        world.progress(room, seq, key=key)
    world.pass_time()
    assert socket.data == [1, 4, 5, 6]


def test_more_keys_than_are_kept_go_out_early(world: World, room: RoomState) -> None:
    member, socket = world.member(room)
    world.progress(room, 1)
    for seq in range(2, LIMITS.paced_keys + 3):
        world.progress(room, seq, key=f"k{seq}")
        assert len(member.cork or ()) <= LIMITS.paced_keys
    assert socket.data == list(range(1, LIMITS.paced_keys + 3))


def test_who_is_left_out_of_the_last_one_gets_the_one_before(world: World, room: RoomState) -> None:
    _, sender = world.member(room, sid="me")
    _, other = world.member(room)
    world.progress(room, 1, 2)
    world.receive(room, 3, key="k", skip="me")
    world.pass_time()
    assert (sender.data, other.data) == ([1, 2], [1, 3])


def test_an_event_for_two_rooms_comes_once(world: World) -> None:
    first, second = world.room("user:a"), world.room("user:b")
    _, socket = world.member(first, second)
    for seq in (1, 2, 3):
        world.progress(first, seq)
        world.progress(second, seq)
    world.pass_time()
    assert socket.data == [1, 3]


def test_all_members_of_a_large_room_are_paced_by_few_timers(world: World, room: RoomState) -> None:
    sockets = [world.member(room)[1] for _ in range(LIMITS.fan_out_sockets + 1)]
    world.progress(room, 1, 2, 3)
    assert len(world.timers) == 2
    world.pass_time()
    assert {tuple(socket.data) for socket in sockets} == {(1, 3)}


def test_who_joins_later_has_a_pace_of_its_own(world: World, room: RoomState) -> None:
    world.member(room)
    world.progress(room, 1)
    world.pass_time(PAUSE_S / 2)
    _, late = world.member(room)
    world.progress(room, 2, 3)
    world.pass_time(PAUSE_S / 2)
    assert late.data == [2]
    world.pass_time(PAUSE_S / 2)
    assert late.data == [2, 3]


def test_without_a_pacer_everyone_gets_everything(world: World, room: RoomState) -> None:
    world.hub._pacer = None
    _, socket = world.member(room)
    world.progress(room, 1, 2, 3)
    assert socket.data == [1, 2, 3]


def test_a_socket_that_is_gone_is_forgotten_with_its_pace(world: World, room: RoomState) -> None:
    member, _ = world.member(room)
    world.progress(room, 1, 2)
    room.remove(member)
    world.pass_time(3 * PAUSE_S)
    assert (member.cork, world.timers) == (None, [])


def test_a_pace_costs_other_sockets_nothing(world: World, room: RoomState) -> None:
    other = world.room("user:ana")
    bystander, socket = world.member(other)
    world.member(room)
    world.progress(room, 1, 2)
    world.receive(other, 3)
    assert (bystander.cork, bystander.pace, socket.data) == (None, None, [3])


# -- and an answer that something must wait for


def test_what_waits_goes_out_before_an_answer_holds_everything_back(world: World, room: RoomState) -> None:
    member, socket = world.member(room)
    world.progress(room, 1, 2)
    member.hold()
    assert socket.data == [1, 2]
    world.progress(room, 3)
    world.receive(room, 4)
    world.pass_time(10 * PAUSE_S)
    assert socket.data == [1, 2]
    member.uncork()
    assert socket.data == [1, 2, 3, 4]


def test_what_came_during_an_answer_is_conflated_behind_it(world: World, room: RoomState) -> None:
    member, socket = world.member(room)
    member.hold()
    world.progress(room, 1, 2)
    world.receive(room, 3)
    world.progress(room, 4, 5)
    member.uncork()
    assert socket.data == [3, 5]


def test_an_uncork_that_belongs_to_no_answer_changes_nothing(world: World, room: RoomState) -> None:
    member, socket = world.member(room)
    world.progress(room, 1, 2)
    member.uncork()
    assert socket.data == [1]
    world.pass_time()
    assert socket.data == [1, 2]


def test_an_old_pace_does_not_meddle_with_a_new_one(world: World, room: RoomState) -> None:
    member, socket = world.member(room)
    world.progress(room, 1)
    world.pass_time(PAUSE_S / 2)
    member.hold()
    member.uncork()
    world.progress(room, 2, 3)
    world.pass_time(PAUSE_S / 2)
    assert socket.data == [1, 2]
    world.pass_time(PAUSE_S / 2)
    assert socket.data == [1, 2, 3]


STEPS = st.lists(st.sampled_from(["a", "b", "other", "wait", "hold", "uncork"]), max_size=40)


@given(STEPS)
def test_whatever_happens_the_order_holds_and_the_last_of_each_key_comes(steps: list[str]) -> None:
    world = World()
    room = world.room()
    member, socket = world.member(room)
    published: dict[str, list[int]] = {"a": [], "b": [], "other": []}
    for seq, step in enumerate(steps, start=1):
        if step == "wait":
            world.pass_time()
        elif step in ("hold", "uncork"):
            getattr(member, step)()
        else:
            published[step].append(seq)
            world.receive(room, seq, **({} if step == "other" else {"key": step}))
    while member.holds:
        member.uncork()
    world.pass_time(3 * PAUSE_S)
    assert socket.data == sorted(set(socket.data))
    assert set(published["other"]) <= set(socket.data)
    assert all(published[key][-1] in socket.data for key in ("a", "b") if published[key])
    assert world.timers == []


@given(STEPS)
def test_the_offset_that_a_client_has_never_passes_what_waits_for_it(steps: list[str]) -> None:
    world = World()
    room = world.room()
    member, socket = world.member(room)
    for seq, step in enumerate(steps, start=1):
        if step == "wait":
            world.pass_time()
        elif step in ("a", "b", "other"):
            world.receive(room, seq, **({} if step == "other" else {"key": step}))
        waiting = [corked.seq for corked in member.cork or ()]
        assert not waiting or not socket.data or socket.data[-1] < min(waiting)


# -- what was missed


def entries(*described: tuple[int, str]) -> Log:
    made = tuple(Entry(seq, 0, b'["e",%d]' % seq, conflate=key.encode()) for seq, key in described)
    return Log(0, made, 0, complete=True)


def test_of_what_was_missed_only_the_latest_of_each_key_is_handed_out() -> None:
    logs = [entries((1, "a"), (3, ""), (4, "a"), (5, "b")), entries((2, "b"))]
    assert [corked.seq for corked in in_order(missed_events(logs, [], "sid"), [], "e1")] == [3, 4, 5]


def test_what_came_live_meanwhile_counts_as_later(world: World, room: RoomState) -> None:
    member, _ = world.member(room)
    member.hold()
    world.progress(room, 4, 6, key="a")
    kept = member.take_cork()
    due = in_order(missed_events([entries((1, "a"), (2, ""), (4, "a"), (6, "a"))], kept, "sid"), kept, "e1")
    assert [corked.seq for corked in due] == [2, 6]


@given(st.lists(st.sampled_from([b"", b"a", b"b"])))
def test_the_latest_of_a_run_are_in_order_and_the_last_of_their_key(keys: list[bytes]) -> None:
    run = list(enumerate(keys))
    left = latest(run, lambda item: item[1])
    assert left == [(i, key) for i, key in run if not key or key not in keys[i + 1 :]]
