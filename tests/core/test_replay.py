"""What a socket that comes back, or joins late, is still to be given."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.frames import Frame
from gateway.core.history import Entry, Log
from gateway.core.model import Identity, Member, QueuedFrame, RoomState, Tenant
from gateway.core.replay import MissedEvent, event_frame, in_order, missed_events, newest, not_had, split_body
from gateway.core.stays import MAX_STAYS, Stay
from publisher import Room
from publisher.envelope import EVENT_NAME, encode_event


def log(*seqs: int, skip: bytes = b"-", rooms: tuple[str, ...] = ()) -> Log:
    entries = tuple(Entry(seq, 0, b'["e",%d]' % seq, rooms, skip) for seq in seqs)
    return Log(0, entries, 0, complete=True)


def corked(*seqs: int) -> list[QueuedFrame]:
    return [QueuedFrame(seq, Frame(b'2["live",%d]' % seq)) for seq in seqs]


def shown(frames: list[QueuedFrame]) -> list[object]:
    return [json.loads(frame.frame.packet[2:]) for frame in frames]


def test_an_event_of_two_rooms_is_missed_once() -> None:
    assert [event.seq for event in missed_events([log(1, 2), log(2, 3)], [], "sid")] == [1, 2, 3]


def test_what_came_live_is_not_missed() -> None:
    assert [event.seq for event in missed_events([log(1, 2, 3)], corked(2), "sid")] == [1, 3]


def test_the_senders_own_event_is_not_missed_by_its_socket() -> None:
    assert missed_events([log(1, skip=b"sid")], [], "sid") == []
    assert len(missed_events([log(1, skip=b"sid")], [], "other")) == 1


def test_the_newest_of_nothing_is_nothing() -> None:
    assert newest([]) == newest([log()]) == 0
    assert newest([log(1, 5), log(3)]) == 5


def test_missed_and_kept_events_are_merged_in_order_with_their_offsets() -> None:
    missed = missed_events([log(1, 3)], corked(2, 4), "sid")
    assert shown(in_order(missed, corked(2, 4), "e1")) == [
        ["e", 1, "e1-1"],
        ["live", 2],
        ["e", 3, "e1-3"],
        ["live", 4],
    ]


@given(st.lists(st.sets(st.integers(1, 30)), max_size=4), st.sets(st.integers(1, 30)))
def test_nothing_is_lost_doubled_or_out_of_order_between_logs_and_cork(
    logged: list[set[int]], live: set[int]
) -> None:
    logs = [log(*sorted(seqs)) for seqs in logged]
    kept = corked(*sorted(live))
    due = in_order(missed_events(logs, kept, "sid"), kept, "e1")
    assert [event.seq for event in due] == sorted(set().union(live, *logged))


HERE, THERE = Room("user:a"), Room("user:b")


@pytest.mark.parametrize(
    ("rooms", "stays", "told"),
    [
        # Event 5 is for both rooms; the socket asks for what `HERE` has.
        ({HERE: 9, THERE: 4}, [], (0, False)),
        ({HERE: 9, THERE: 5}, [], (1, False)),
        ({HERE: 1}, [], (1, False)),
        ({}, [Stay(THERE, 4, 5)], (0, False)),
        ({}, [Stay(THERE, 3, 4)], (1, False)),
        ({}, [Stay(THERE, 5, 9)], (1, False)),
        ({}, [Stay(HERE, 4, 5)], (0, False)),
        # A recovery knows when a leave was under way, not when it was done.
        ({}, [Stay(THERE, 3, 4, maybe_until=5)], (0, True)),
        ({}, [Stay(THERE, 3, 4, maybe_until=4)], (1, False)),
    ],
)
def test_what_the_socket_was_given_live_is_not_told_again(
    rooms: dict[Room, int], stays: list[Stay], told: tuple[int, bool]
) -> None:
    member = member_in(rooms, stays)
    events, doubtful = not_had(missed_events([log(5, rooms=(HERE, THERE))], [], "sid"), HERE, member)
    assert (len(events), doubtful) == told


def test_an_event_of_several_rooms_from_before_the_stays_that_are_remembered_is_doubtful() -> None:
    member = member_in({}, [Stay(Room(f"user:{i}"), 1, 6) for i in range(MAX_STAYS + 1)])
    both, one = log(5, rooms=(HERE, THERE)), log(5)
    assert not_had(missed_events([both], [], "sid"), HERE, member) == ([], True)
    assert len(not_had(missed_events([one], [], "sid"), HERE, member).events) == 1
    member.opened_at = 5
    assert len(not_had(missed_events([both], [], "sid"), HERE, member).events) == 1


def member_in(rooms: dict[Room, int], stays: list[Stay]) -> Member:
    tenant = Tenant("t")
    nowhere: Any = None
    member = Member(nowhere, Identity("u", "t", "", 0.0), tenant, "sid", "pid")
    member.rooms = {RoomState(tenant, name): joined_at for name, joined_at in rooms.items()}
    member.remember(*stays)
    return member


NAMES = st.from_regex(EVENT_NAME, fullmatch=True).filter(lambda name: name not in ("connect", "disconnect"))
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(NAMES, DATA)
def test_a_body_is_wrapped_and_taken_apart_without_being_parsed(name: str, data: object) -> None:
    body = encode_event(name, data, 10**6, ephemeral=False)
    assert json.loads(event_frame(body, "e1-5").packet[2:]) == [name, data, "e1-5"]
    found, rest = split_body(body)
    assert (found, json.loads(rest)) == (name, data)


def test_missed_events_know_their_seq() -> None:
    (event,) = missed_events([log(7)], [], "sid")
    assert event == MissedEvent(7, log(7).entries[0])
