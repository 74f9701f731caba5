"""The Lua scripts: one contract, on a real server and on fakeredis, which backends use in their own tests.

`test_trimming.py` and `test_once.py` have the rest of it.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from redis.exceptions import OutOfMemoryError

from publisher import Room, conversation, wire
from publisher.calls import FAILED, KNOWN, PUBLISHED, TOO_LARGE
from publisher.envelope import Options, build_control, build_event
from publisher.scripts import command
from tests.publisher.bus import Bus
from tests.support.tokens import new_id

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
    bus.client.delete(*bus.client.keys(f"rt:{{{bus.org}}}:*"))
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
    sizes = (92, 93, 1)
    envelopes = [build_event(bus.org, "e", "x" * size, bus.room, Options(), key=f"k{size}") for size in sizes]
    answer = bus.client.evalsha(*command(*envelopes))
    assert answer[::2] == [PUBLISHED, TOO_LARGE, PUBLISHED]
    assert answer[3] == b"100"
    assert [len(fields[b"d"]) for _, fields in bus.log()] == [100, 9]
    bus.client.hset(wire.meta_key(bus.org), "max_event_bytes", 1000)
    assert bus.run(envelopes[1])[0] == PUBLISHED


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
        block = (bus.room, block_s)
        bus.run(build_control(bus.org, "bob", {"do": "leave"}, Options(), revoke=bus.room, block=block))

    for block_ms, least_ms in ((60_000, 50_000), (120_000, 60_000)):
        leave(block_ms / 1000)
        assert least_ms < bus.client.pttl(key) <= block_ms
    for _ in range(2):
        leave(0.0)
        assert not bus.client.exists(key)


def test_a_control_message_may_have_nothing_to_remember(bus: Bus) -> None:
    bus.run(build_control(bus.org, "bob", {"do": "x"}, Options()))
    assert not bus.client.exists(wire.revoked_key(bus.org, "bob"))


def test_control_messages_have_a_place_among_the_events(bus: Bus) -> None:
    before = bus.publish()[1]
    control = bus.run(build_control(bus.org, "bob", {"do": "x"}, Options()))[1]
    assert before.seq < control.seq < bus.publish()[1].seq
