"""What the script that publishes keeps of a room's log."""

from __future__ import annotations

import time

from publisher import wire
from publisher.envelope import Options
from tests.publisher.bus import Bus
from tests.support.waiting import until_sync


def assert_newest(bus: Bus, published: range, *, least: int, most: int) -> None:
    """Fail unless the log holds the newest, so many of them; fakeredis may keep more."""
    kept = bus.data()
    assert least <= len(kept) <= most if bus.is_real else len(kept) >= least
    assert kept == list(published)[-len(kept) :]


def test_a_log_keeps_what_it_should_and_little_more(bus: Bus) -> None:
    for i in range(350):
        bus.publish(i, options=Options(history_size=50, history_window_s=0.001))
    # Whole nodes of a hundred entries go at once: that is what trimming costs least.
    assert_newest(bus, range(350), least=50, most=150)


def test_what_the_gateways_want_kept_comes_before_the_publishers_default(bus: Bus) -> None:
    wanted = {"epoch": "e1", "seq": 1, "keep": 20, "ttl": 5_000, "window": 1}
    bus.client.hset(wire.meta_key(bus.org), mapping=wanted)
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

    def has_none_of_them() -> bool:
        bus.publish("new", options=options)
        return bus.log()[0][0] not in first

    until_sync(has_none_of_them)


def test_a_room_that_was_silent_for_longer_than_its_log_lives_begins_anew(bus: Bus) -> None:
    options = Options(history_ttl_s=0.05)
    bus.publish("old", options=options)
    until_sync(lambda: not bus.client.exists(wire.log_key(bus.org, bus.room)))
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
    assert_newest(bus, range(720), least=50, most=200)


def test_the_window_is_kept_up_to_a_number_of_events(bus: Bus) -> None:
    options = Options(history_size=50, history_max_events=200)
    for i in range(700):
        bus.publish(i, options=options)
    assert_newest(bus, range(700), least=200, most=350)


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
