"""Conflated events in Redis: of a run under one key a room's log keeps the last, and that is no hole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publisher import InvalidEvent, Options, Room, conversation, user, wire
from publisher.envelope import build_event
from tests.publisher.bus import KNOWN, Bus
from tests.support.tokens import new_id


def test_a_conflated_event_says_so_on_the_channel_and_in_the_log(bus: Bus) -> None:
    listener = bus.listen()
    bus.publish("plain")
    bus.publish(50, conflate="campaign:7")
    plain, conflated = listener.heard()
    assert (plain.conflate, conflated.conflate) == (b"", b"campaign:7")
    assert [fields.get(b"c") for _, fields in bus.log()] == [None, b"campaign:7"]


def test_a_later_one_takes_the_place_of_the_one_before_it_in_the_log(bus: Bus) -> None:
    before = bus.publish("before")[1]
    for share in range(1, 101):
        bus.publish(share, conflate="k")
    assert bus.data() == ["before", 100]
    assert int(bus.log()[1][1][b"p"]) == before.seq


def test_all_of_them_are_heard_each_behind_the_one_before(bus: Bus) -> None:
    listener = bus.listen()
    for share in range(5):
        bus.publish(share, conflate="k")
    heard = listener.heard()
    assert [message.previous for message in heard] == [0, *(message.seq for message in heard[:-1])]


def test_a_flood_of_progress_pushes_nothing_else_out(bus: Bus) -> None:
    bus.publish("kept")
    for share in range(300):
        bus.publish(share, conflate="k", options=Options(history_size=10))
    assert bus.data() == ["kept", 299]


@pytest.mark.parametrize("between", [{}, {"conflate": "other"}], ids=["plain", "of another key"])
def test_what_another_event_came_behind_stays(bus: Bus, between: dict[str, Any]) -> None:
    bus.publish(1, conflate="k")
    bus.publish("between", **between)
    bus.publish(2, conflate="k")
    assert bus.data() == [1, "between", 2]
    assert [int(fields[b"p"]) for _, fields in bus.log()] == [0, *(seq for seq, _ in bus.log()[:-1])]


def test_an_ephemeral_event_stands_between_nothing(bus: Bus) -> None:
    bus.publish(1, conflate="k")
    bus.publish(0, ephemeral=True)
    bus.publish(2, conflate="k")
    assert bus.data() == [2]


def test_who_is_left_out_of_the_last_one_still_finds_the_one_before(bus: Bus) -> None:
    bus.publish(1, conflate="k")
    bus.publish(2, conflate="k", skip_sid="me")
    assert bus.data() == [1, 2]
    bus.publish(3, conflate="k")
    assert bus.data() == [1, 3]


def test_each_room_has_its_own_last_one(bus: Bus) -> None:
    other = conversation(new_id())
    bus.publish(1, [bus.room, other], conflate="k")
    bus.publish(2, bus.room, conflate="k")
    assert (bus.data(), bus.data(other)) == ([2], [1])


def test_a_duplicate_takes_no_place(bus: Bus) -> None:
    bus.publish(1, key="once", conflate="k")
    bus.publish(2, conflate="k")
    assert bus.publish(1, key="once", conflate="k")[0] == KNOWN
    assert bus.data() == [2]


def test_what_is_noted_of_the_last_one_ends_with_the_log(bus: Bus) -> None:
    bus.publish(1, conflate="k", options=Options(history_ttl_s=5.0))
    assert 0 < bus.client.pttl(wire.latest_key(bus.org, bus.room)) <= 5_000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.lists(st.sampled_from(["", "a", "b"]), max_size=12))
def test_the_log_is_a_chain_without_a_hole_that_ends_each_run_with_its_last(bus: Bus, keys: list[str]) -> None:
    room = conversation(new_id())
    for i, key in enumerate(keys):
        bus.publish(i, room, conflate=key or None)
    ends = [i for i, key in enumerate(keys) if not key or keys[i + 1 : i + 2] != [key]]
    assert bus.data(room) == ends
    log = bus.log(room)
    assert [int(fields[b"p"]) for _, fields in log] == [0, *(seq for seq, _ in log)][: len(log)]


# -- arguments


@pytest.mark.parametrize("key", ["", "two words", "ü", "x" * 201, 7])
def test_a_conflation_key_is_short_and_printable(key: Any) -> None:
    with pytest.raises(InvalidEvent, match="conflate"):
        build_event(new_id(), "e", 1, user("u"), Options(), conflate=key)


def test_an_ephemeral_event_is_not_conflated() -> None:
    with pytest.raises(InvalidEvent, match="conflated"):
        build_event(new_id(), "e", 1, user("u"), Options(), conflate="k", ephemeral=True)


def test_nothing_of_it_lies_outside_the_tenants_slot() -> None:
    org = new_id()
    envelope = build_event(org, "e", 1, [user("u"), Room(f"campaign:{new_id()}")], Options(), conflate="k}{x")
    assert all(key.startswith(wire.prefix(org)) for key in envelope.keys)
