"""The Lua scripts: one contract, on a real server and on fakeredis, which backends use in their own tests."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import OutOfMemoryError

from publisher import Room, conversation, wire
from publisher.calls import FAILED, KNOWN, PUBLISHED, STALE, TOO_LARGE
from publisher.envelope import Options, build_control, build_event
from publisher.scripts import command
from publisher.verbs import STATUS_VERSION
from tests.publisher.bus import Bus
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S

# -- offsets


def test_offsets_grow_for_the_whole_tenant(bus: Bus) -> None:
    rooms = [conversation(new_id()) for _ in range(3)]
    offsets = [bus.publish(i, rooms[i % 3])[1] for i in range(60)]
    assert all(before.seq < after.seq for before, after in pairwise(offsets))
    assert len({offset.epoch for offset in offsets}) == 1


def test_a_seq_is_never_below_the_servers_clock(bus: Bus) -> None:
    before = bus.now()
    _, offset = bus.publish()
    assert before <= offset.seq <= bus.now()
    assert len(str(offset.seq)) == 16


def test_a_seq_grows_though_the_clock_was_set_back(bus: Bus) -> None:
    ahead = bus.now() + 3_600_000_000
    bus.client.hset(wire.meta_key(bus.org), mapping={"epoch": "e1", "seq": ahead})
    assert [bus.publish()[1] for _ in range(3)] == [("e1", ahead + 1), ("e1", ahead + 2), ("e1", ahead + 3)]


def test_a_seq_is_printed_in_full(bus: Bus) -> None:
    big = 9_007_199_254_740_000
    bus.client.hset(wire.meta_key(bus.org), mapping={"epoch": "e1", "seq": big})
    _, offset = bus.publish()
    assert offset.seq == big + 1
    assert bus.client.hget(wire.meta_key(bus.org), "seq") == str(big + 1).encode()


def test_the_epoch_is_made_once_and_kept(bus: Bus) -> None:
    first = bus.publish()[1].epoch
    bus.run(build_control(bus.org, "bob", {"do": "x"}, Options()))
    assert bus.publish()[1].epoch == first == bus.client.hget(wire.meta_key(bus.org), "epoch").decode()


def test_two_tenants_have_an_epoch_each(bus: Bus) -> None:
    other = Bus(bus.client, is_real=bus.is_real)
    assert bus.publish()[1].epoch != other.publish()[1].epoch


def test_after_a_flush_the_epoch_is_another_and_the_seq_still_grows(bus: Bus) -> None:
    before = bus.publish()[1]
    keys = bus.client.keys(f"rt:{{{bus.org}}}:*")
    bus.client.delete(*keys)
    after = bus.publish()[1]
    assert after.epoch != before.epoch
    assert after.seq > before.seq


# -- the log and the channel


def test_an_event_is_in_its_rooms_log_and_on_its_channel(bus: Bus) -> None:
    listener = bus.listen()
    _, offset = bus.publish({"a": "ü"}, skip_sid="sid-1")
    ((seq, fields),) = bus.log()
    (message,) = listener.heard()
    assert seq == offset.seq == message.seq
    assert fields[b"d"] == message.body == '["e",{"a":"ü"}]'.encode()
    assert fields[b"s"] == message.skip_sid == b"sid-1"
    assert message.offset == str(offset).encode()
    assert message.flag == b"r"


def test_each_event_names_the_one_before_it_in_its_room(bus: Bus) -> None:
    listener = bus.listen()
    other = conversation(new_id())
    for i in range(10):
        bus.publish(i, other if i % 3 == 2 else bus.room)
    log, heard = bus.log(), listener.heard()
    assert [int(fields[b"p"]) for _, fields in log] == [0, *(seq for seq, _ in log[:-1])]
    assert [message.previous for message in heard] == [int(fields[b"p"]) for _, fields in log]


def test_an_event_for_several_rooms_has_one_seq_and_names_them_all(bus: Bus) -> None:
    rooms = [bus.room, conversation(new_id()), Room("user:bob")]
    listener = bus.listen(*rooms)
    _, offset = bus.publish("x", rooms)
    logs = [bus.log(room) for room in rooms]
    assert {seq for log in logs for seq, _ in log} == {offset.seq} == {message.seq for message in listener.heard()}
    assert {fields[b"r"] for log in logs for _, fields in log} == {" ".join(rooms).encode()}


def test_an_event_for_one_room_says_nothing_of_rooms_or_sids(bus: Bus) -> None:
    bus.publish()
    ((_, fields),) = bus.log()
    assert set(fields) == {b"d", b"p"}


def test_an_ephemeral_event_is_heard_and_not_kept(bus: Bus) -> None:
    listener = bus.listen()
    bus.publish("kept")
    bus.publish(5, ephemeral=True)
    bus.publish("kept too")
    first, ephemeral, second = listener.heard()
    assert (ephemeral.flag, ephemeral.previous, ephemeral.body) == (b"e", 0, b'["e",5]')
    assert first.seq < ephemeral.seq < second.seq
    assert second.previous == first.seq
    assert bus.data() == ["kept", "kept too"]


def test_nothing_of_a_tenant_lies_outside_its_slot(bus: Bus) -> None:
    if not bus.is_real:
        pytest.skip("fakeredis runs no MONITOR")
    with bus.client.monitor() as monitor:
        bus.publish("x", [bus.room, Room("user:bob")], key="k", version=1, skip_sid="s")
        bus.run(build_control(bus.org, "bob", {"do": "x"}, Options(), revoke="*"))
        bus.client.get("end")
        commands = []
        while (line := monitor.next_command())["command"] != "GET end":
            commands.append(line)
    inside = [line["command"].split() for line in commands if line["client_type"] == "lua"]
    touched = [words[1] for words in inside if words[1:]]
    assert len(touched) > 10
    assert {name.partition("}")[0] for name in touched} == {f"rt:{{{bus.org}"}


# -- trimming


def test_a_log_keeps_what_it_should_and_little_more(bus: Bus) -> None:
    for i in range(350):
        bus.publish(i, options=Options(history_size=50, history_window_s=0.001))
    kept = bus.data()
    # Whole nodes of a hundred entries go at once: that is what trimming costs least.
    assert 50 <= len(kept) <= 150 if bus.is_real else len(kept) >= 50
    assert kept == list(range(350))[-len(kept) :]


def test_what_the_gateways_want_kept_comes_before_the_publishers_default(bus: Bus) -> None:
    bus.client.hset(
        wire.meta_key(bus.org), mapping={"epoch": "e1", "seq": 1, "keep": 20, "ttl": 5_000, "window": 1}
    )
    for i in range(250):
        bus.publish(i)
    assert len(bus.log()) <= 120 if bus.is_real else len(bus.log()) >= 20
    assert 0 < bus.client.pttl(wire.tail_key(bus.org, bus.room)) <= 5_000
    assert 0 < bus.client.pttl(wire.log_key(bus.org, bus.room)) <= 6_250


def test_a_log_lives_for_as_long_as_its_newest_entry_should(bus: Bus) -> None:
    options = Options(history_ttl_s=2.0)
    least = []
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        began = time.monotonic()
        bus.publish(options=options)
        left_ms = bus.client.pttl(wire.log_key(bus.org, bus.room))
        least.append(left_ms + (time.monotonic() - began) * 1000)
        assert left_ms <= 2_500
    assert min(least) > 1_990


def test_what_is_too_old_goes_while_a_room_is_busy(bus: Bus) -> None:
    options = Options(history_ttl_s=0.2)
    first = [bus.publish(i, options=options)[1].seq for i in range(200)]
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and bus.log()[0][0] in first:
        bus.publish("new", options=options)
    assert bus.log()[0][0] not in first


def test_a_room_that_was_silent_for_longer_than_its_log_lives_begins_anew(bus: Bus) -> None:
    options = Options(history_ttl_s=0.05)
    bus.publish("old", options=options)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and bus.client.exists(wire.log_key(bus.org, bus.room)):
        pass
    bus.publish("new", options=options)
    ((_, fields),) = bus.log()
    assert (fields[b"p"], fields[b"d"]) == (b"0", b'["e","new"]')


def test_everything_of_the_window_is_kept_and_beyond_it_the_newest(bus: Bus) -> None:
    options = Options(history_size=50, history_window_s=30.0)
    for i in range(700):
        bus.publish(i, options=options)
    assert bus.data() == list(range(700))
    options = Options(history_size=50, history_window_s=0.001)
    for i in range(700, 720):
        bus.publish(i, options=options)
    kept = bus.data()
    assert 50 <= len(kept) <= 200 if bus.is_real else len(kept) >= 50
    assert kept == list(range(720))[-len(kept) :]


def test_the_window_is_kept_up_to_a_number_of_events(bus: Bus) -> None:
    options = Options(history_size=50, history_max_events=200)
    for i in range(700):
        bus.publish(i, options=options)
    kept = bus.data()
    assert 200 <= len(kept) <= 350 if bus.is_real else len(kept) >= 200
    assert kept == list(range(700))[-len(kept) :]


def test_the_window_is_kept_up_to_a_number_of_bytes(bus: Bus) -> None:
    options = Options(history_size=10, history_max_bytes=50_000)
    for i in range(400):
        bus.publish([i, "x" * (980 if i % 4 else 10)], options=options)
    kept = bus.data()
    held = sum(len(fields[b"d"]) for _, fields in bus.log())
    # A quarter of them is small, and what an average says is near enough.
    assert 25_000 <= held <= 75_000 if bus.is_real else held >= 25_000
    assert [i for i, _ in kept] == list(range(400))[-len(kept) :]


def test_a_large_event_among_small_ones_ends_no_history(bus: Bus) -> None:
    options = Options(history_size=10, history_max_bytes=200_000)
    for i in range(100):
        bus.publish("x" * (100_000 if i == 50 else 10), options=options)
    assert len(bus.log()) == 100


def test_a_conflation_key_counts_once_whatever_it_reports(bus: Bus) -> None:
    options = Options(history_size=10, history_max_bytes=20_000)
    bus.publish("first", options=options)
    for i in range(200):
        bus.publish([i, "x" * 1_000], conflate="k", options=options)
    assert [len(data) for data in bus.data()] == [5, 2]


# -- idempotency


def test_the_same_key_twice_is_one_delivery_and_the_same_receipt(bus: Bus) -> None:
    listener = bus.listen()
    first = bus.publish("a", key="k")
    again = [bus.publish("a", key="k") for _ in range(3)]
    assert first[0] == PUBLISHED
    assert again == [(KNOWN, first[1])] * 3
    assert len(listener.heard()) == len(bus.log()) == 1


def test_a_key_is_of_one_tenant(bus: Bus) -> None:
    other = Bus(bus.client, is_real=bus.is_real)
    assert [bus.publish(key="k")[0], other.publish(key="k")[0]] == [PUBLISHED, PUBLISHED]


def test_a_key_holds_for_its_window_and_no_longer(bus: Bus) -> None:
    options = Options(once_ttl_s=0.05)
    assert bus.publish(key="k", options=options)[0] == PUBLISHED
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and bus.publish(key="k", options=options)[0] == KNOWN:
        pass
    assert len(bus.log()) == 2


def test_a_duplicate_gives_no_seq_away(bus: Bus) -> None:
    bus.publish(key="k")
    before = bus.client.hgetall(wire.meta_key(bus.org))
    bus.publish(key="k")
    assert bus.client.hgetall(wire.meta_key(bus.org)) == before


def test_an_event_that_a_lane_sent_before_is_not_published_again(bus: Bus) -> None:
    """Its key may have ended meanwhile: the number in its queue tells."""
    lane: Any = {"lane": "lane-1", "lane_ms": 60_000}
    envelopes = [build_event(bus.org, "e", i, bus.room, Options(once_ttl_s=0.001)) for i in range(4)]
    run = bus.client.evalsha
    assert run(*command(*envelopes[:2], **lane, numbers=(1, 2)))[::2] == [PUBLISHED] * 2
    deadline = time.monotonic() + 5.0
    while bus.client.exists(*(envelope.keys[-1] for envelope in envelopes)) and time.monotonic() < deadline:
        pass
    assert run(*command(*envelopes[:3], **lane, numbers=(1, 2, 3)))[::2] == [KNOWN, KNOWN, PUBLISHED]
    assert run(*command(envelopes[3], lane="lane-2", lane_ms=60_000, numbers=(1,)))[0] == PUBLISHED
    assert bus.data() == [0, 1, 2, 3]
    assert 0 < bus.client.pttl(wire.lane_key(bus.org, "lane-1")) <= 60_000


def test_two_events_of_one_call_have_one_number(bus: Bus) -> None:
    both = replace(
        build_event(bus.org, "e", 1, bus.room, Options()), also=build_event(bus.org, "e", 2, bus.room, Options())
    )
    lane: Any = {"lane": "lane-1", "lane_ms": 60_000, "numbers": (1,)}
    assert bus.client.evalsha(*command(both, **lane))[::2] == [PUBLISHED] * 2
    assert bus.client.evalsha(*command(both, **lane))[::2] == [KNOWN] * 2
    assert bus.data() == [1, 2]


# -- what can't be published


@pytest.mark.parametrize("conflate", [None, "k"])
def test_an_event_that_one_of_its_rooms_refuses_goes_to_none(bus: Bus, conflate: str | None) -> None:
    rooms = [bus.room, conversation(new_id()), conversation(new_id())]
    if conflate is not None:
        bus.publish("before", rooms, conflate=conflate)
    spoilt = wire.log_key(bus.org, rooms[1])
    bus.client.delete(spoilt)
    bus.client.set(spoilt, "not a log")
    listener = bus.listen(*rooms)
    before = bus.log(rooms[0])
    envelope = build_event(bus.org, "e", "x", rooms, Options(), key="k", version=1, conflate=conflate)
    later = build_event(bus.org, "e", "later", bus.room, Options())
    answer = bus.client.evalsha(*command(envelope, later))
    # What follows was not looked at, or it would go out before it.
    assert (answer[0], len(answer)) == (FAILED, 2)
    assert b"WRONGTYPE" in answer[1]
    assert listener.heard() == []
    assert bus.log(rooms[0]) == before
    bus.client.delete(spoilt)
    assert bus.run(envelope)[0] == PUBLISHED
    assert all(bus.data(room)[-1] == "x" for room in rooms)


def test_keys_of_a_strange_type_that_hold_no_event_are_written_over(bus: Bus) -> None:
    envelope = build_event(bus.org, "e", "x", bus.room, Options(), key="k", conflate="c")
    for key in (wire.tail_key(bus.org, bus.room), wire.latest_key(bus.org, bus.room), wire.once_key(bus.org, "k")):
        bus.client.rpush(key, "x")
    assert bus.run(envelope)[0] == PUBLISHED
    assert bus.run(envelope)[0] == KNOWN
    assert bus.data() == ["x"]


def test_a_server_without_memory_takes_nothing_of_a_call(bus: Bus) -> None:
    if not bus.is_real:
        pytest.skip("fakeredis has no end of memory")
    rooms = [bus.room, conversation(new_id())]
    envelopes = [build_event(bus.org, "e", i, rooms, Options()) for i in range(3)]
    bus.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            bus.client.evalsha(*command(*envelopes))
    finally:
        bus.client.config_set("maxmemory", 0)
    assert [bus.log(room) for room in rooms] == [[], []]
    assert bus.client.evalsha(*command(*envelopes))[::2] == [PUBLISHED] * 3


def test_what_is_larger_than_gateways_hand_out_is_refused_and_the_rest_is_not(bus: Bus) -> None:
    bus.client.hset(wire.meta_key(bus.org), mapping={"epoch": "e1", "seq": 1, "max_event_bytes": 100})
    envelopes = [
        build_event(bus.org, "e", "x" * size, bus.room, Options(), key=f"k{size}") for size in (92, 93, 1)
    ]
    answer = bus.client.evalsha(*command(*envelopes))
    assert answer[::2] == [PUBLISHED, TOO_LARGE, PUBLISHED]
    assert answer[3] == b"100"
    assert [len(fields[b"d"]) for _, fields in bus.log()] == [100, 9]
    bus.client.hset(wire.meta_key(bus.org), "max_event_bytes", 1000)
    assert bus.run(envelopes[1])[0] == PUBLISHED


# -- versions


def test_a_version_is_remembered_when_its_key_has_ended(bus: Bus) -> None:
    options = Options(once_ttl_s=0.001)
    once = wire.once_key(bus.org, "k")

    def publish(version: int) -> int:
        envelope = build_event(bus.org, "e", version, bus.room, options, key="k", version=version)
        deadline = time.monotonic() + 5.0
        while bus.client.exists(once) and time.monotonic() < deadline:
            pass
        status: int = bus.client.evalsha(*command(envelope))[0]
        return status

    assert [publish(version) for version in (3, 2, 3, 4, 3)] == [PUBLISHED, STALE, KNOWN, PUBLISHED, STALE]
    assert bus.data() == [3, 4]


def test_a_version_is_remembered_for_its_time_and_no_longer_than_half_as_long_again(bus: Bus) -> None:
    options = Options(once_ttl_s=0.001, version_ttl_s=0.4)
    bus.publish(3, key="k", version=3, options=options)
    began = time.monotonic()
    (hash_key,) = bus.client.keys(f"rt:{{{bus.org}}}:versions:*")
    assert 0 < bus.client.pttl(hash_key) <= 600
    status, lasted = STALE, 0.0
    while status == STALE and lasted < 5.0:
        envelope = build_event(bus.org, "e", 2, bus.room, options, key="k", version=2)
        lasted = time.monotonic() - began
        status = bus.client.evalsha(*command(envelope))[0]
    assert status == PUBLISHED
    assert lasted > 0.39


def test_a_thousand_versions_take_few_bytes(bus: Bus) -> None:
    if not bus.is_real:
        pytest.skip("fakeredis has no memory of Redis' kind")
    for i in range(1000):
        bus.publish(1, key=f"message:status:{i}", version=1)
    hashes = bus.client.keys(f"rt:{{{bus.org}}}:versions:*")
    assert len(hashes) <= 32  # sixteen, or twice as many where a period has just begun
    assert sum(bus.client.memory_usage(name) for name in hashes) / 1000 < 40


def test_a_version_that_is_older_than_the_last_is_dropped(bus: Bus) -> None:
    read = bus.publish("read", key="k", version=3)
    assert bus.publish("delivered", key="k", version=2) == (STALE, read[1])
    assert bus.publish("read", key="k", version=3) == (KNOWN, read[1])
    assert bus.publish("failed", key="k", version=4)[0] == PUBLISHED
    assert bus.data() == ["read", "failed"]


def test_versions_compare_as_numbers(bus: Bus) -> None:
    assert bus.publish(9, key="k", version=9)[0] == PUBLISHED
    assert bus.publish(10, key="k", version=10)[0] == PUBLISHED
    assert bus.publish(9, key="k", version=9)[0] == STALE
    last = 2**53 - 1
    assert bus.publish(0, key="big", version=last)[0] == PUBLISHED
    assert bus.publish(0, key="big", version=last - 1)[0] == STALE


def test_a_key_without_a_version_stays_without_one(bus: Bus) -> None:
    bus.publish(key="k")
    assert bus.publish(key="k", version=7)[0] == KNOWN
    bus.publish(key="v", version=1)
    assert bus.publish(key="v")[0] == KNOWN


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(webhooks=st.lists(st.sampled_from(list(STATUS_VERSION)), min_size=1, max_size=12))
def test_a_status_never_goes_back_whatever_order_the_webhooks_come_in(bus: Bus, webhooks: list[str]) -> None:
    key = f"message:status:{new_id()}"
    room = conversation(new_id())
    for status in webhooks:
        bus.publish(status, room, key=key, version=STATUS_VERSION[status])
    shown = [STATUS_VERSION[status] for status in bus.data(room)]
    assert shown == sorted(set(shown))
    assert shown[-1] == max(STATUS_VERSION[status] for status in webhooks)


# -- control


def test_taken_access_is_remembered_and_told(bus: Bus) -> None:
    listener = bus.listen(Room("user:bob"))
    _, offset = bus.run(build_control(bus.org, "bob", {"do": "leave"}, Options(), revoke=bus.room))
    (message,) = listener.heard()
    assert (message.flag, message.seq, message.body) == (b"c", offset.seq, b'{"do":"leave"}')
    revoked = wire.revoked_key(bus.org, "bob")
    remembered = {bus.room.encode(): str(offset.seq).encode(), b"kept": b"86400000"}
    assert bus.client.hgetall(revoked) == remembered
    assert 86_000_000 < bus.client.pttl(revoked) <= 86_400_000


def test_a_room_is_blocked_until_its_time_is_over_or_it_is_allowed_again(bus: Bus) -> None:
    key = wire.blocked_key(bus.org, "bob", bus.room)

    def leave(block_s: float) -> None:
        bus.run(
            build_control(bus.org, "bob", {"do": "leave"}, Options(), revoke=bus.room, block=(bus.room, block_s))
        )

    leave(60.0)
    assert 50_000 < bus.client.pttl(key) <= 60_000
    leave(120.0)
    assert 60_000 < bus.client.pttl(key) <= 120_000
    leave(0.0)
    assert not bus.client.exists(key)
    leave(0.0)
    assert not bus.client.exists(key)


def test_a_control_message_may_have_nothing_to_remember(bus: Bus) -> None:
    bus.run(build_control(bus.org, "bob", {"do": "x"}, Options()))
    assert not bus.client.exists(wire.revoked_key(bus.org, "bob"))


def test_control_messages_have_a_place_among_the_events(bus: Bus) -> None:
    before = bus.publish()[1]
    control = bus.run(build_control(bus.org, "bob", {"do": "x"}, Options()))[1]
    assert before.seq < control.seq < bus.publish()[1].seq
