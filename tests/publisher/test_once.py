"""Each event once, and no older version after a newer one: what the script that publishes remembers."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publisher import conversation, wire
from publisher.calls import KNOWN, PUBLISHED, STALE
from publisher.envelope import Options, build_event
from publisher.scripts import command
from publisher.verbs import STATUS_VERSION
from tests.publisher.bus import Bus
from tests.support.tokens import new_id
from tests.support.waiting import until_sync

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
    until_sync(lambda: bus.publish(key="k", options=options)[0] == PUBLISHED)
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
    until_sync(lambda: not bus.client.exists(*(envelope.keys[-1] for envelope in envelopes)))
    assert run(*command(*envelopes[:3], **lane, numbers=(1, 2, 3)))[::2] == [KNOWN, KNOWN, PUBLISHED]
    assert run(*command(envelopes[3], lane="lane-2", lane_ms=60_000, numbers=(1,)))[0] == PUBLISHED
    assert bus.data() == [0, 1, 2, 3]
    assert 0 < bus.client.pttl(wire.lane_key(bus.org, "lane-1")) <= 60_000


def test_two_events_of_one_call_have_one_number(bus: Bus) -> None:
    first, second = (build_event(bus.org, "e", i, bus.room, Options()) for i in (1, 2))
    both = replace(first, also=second)
    lane: Any = {"lane": "lane-1", "lane_ms": 60_000, "numbers": (1,)}
    assert bus.client.evalsha(*command(both, **lane))[::2] == [PUBLISHED] * 2
    assert bus.client.evalsha(*command(both, **lane))[::2] == [KNOWN] * 2
    assert bus.data() == [1, 2]


# -- versions


def test_a_version_is_remembered_when_its_key_has_ended(bus: Bus) -> None:
    options = Options(once_ttl_s=0.001)
    once = wire.once_key(bus.org, "k")

    def publish(version: int) -> int:
        envelope = build_event(bus.org, "e", version, bus.room, options, key="k", version=version)
        until_sync(lambda: not bus.client.exists(once))
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
    published = [bus.publish(version, key="k", version=version)[0] for version in (9, 10, 9)]
    assert published == [PUBLISHED, PUBLISHED, STALE]
    last = 2**53 - 1
    assert [bus.publish(0, key="big", version=version)[0] for version in (last, last - 1)] == [PUBLISHED, STALE]


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
