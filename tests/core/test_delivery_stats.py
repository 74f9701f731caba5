"""What the hub counts of the events that it hands out."""

from __future__ import annotations

import pytest

from gateway.core.clock import ServerClock
from gateway.core.delivery_stats import FAN_OUT, MAX_NAMES, OTHER, DeliveryStats
from gateway.core.limits import LIMITS
from tests.core.parts import World

NOW_S = 1_790_000_000.0


@pytest.fixture
def world() -> World:
    return World()


def counts(world: World) -> dict[str, tuple[int, int]]:
    return {name: (counted.events, counted.deliveries) for name, counted in world.hub.delivery_stats.names.items()}


def test_events_and_deliveries_are_counted_by_name(world: World) -> None:
    room = world.room()
    for _ in range(3):
        world.member(room)
    world.receive(room, 1, body='["message:new",{"event":"message:status"}]')
    world.receive(room, 2, body='["message:new",2]')
    world.receive(room, 3, body='["user_typing"]', flag="e")
    assert counts(world) == {"message:new": (2, 6), "user_typing": (1, 3)}
    assert (world.hub.delivery_stats.events, world.hub.delivery_stats.deliveries) == (3, 9)


def test_a_socket_that_is_left_out_gets_no_delivery(world: World) -> None:
    room = world.room()
    world.member(room, sid="left-out")
    world.member(room)
    world.receive(room, 1, skip="left-out")
    assert counts(world) == {"e": (1, 1)}


def test_names_are_bounded_and_the_rest_is_counted_as_other(world: World) -> None:
    room = world.room()
    for seq in range(1, MAX_NAMES + 11):
        world.receive(room, seq, body=f'["e{seq}",1]')
    assert len(world.hub.delivery_stats.names) == MAX_NAMES + 1
    assert world.hub.delivery_stats.names[OTHER].events == 10
    assert world.hub.delivery_stats.events == MAX_NAMES + 10


@pytest.mark.parametrize("body", ['["",1]', '["1",1]', '["' + "a" * 65 + '",1]', '["a\\n",1]', '["é",1]'])
def test_what_is_no_name_is_counted_as_other(body: str) -> None:
    stats = DeliveryStats()
    stats.came(body.encode(), 1)
    assert list(stats.names) == [OTHER]


@pytest.mark.parametrize(("members", "bound"), [(0, 0), (1, 1), (2, 3), (3, 3), (4, 7), (1000, 1023)])
def test_an_event_counts_by_the_size_of_its_room(members: int, bound: int) -> None:
    stats = DeliveryStats()
    stats.came(b'["e",1]', members)
    assert next(le for le, count in stats.fan_out.cumulated() if count) == bound
    assert stats.fan_out.total == members


def test_a_room_above_all_bounds_counts_all_the_same() -> None:
    stats = DeliveryStats()
    stats.came(b'["e",1]', FAN_OUT[-1] * 10)
    assert stats.fan_out.counts[-1] == 1


def test_the_age_of_an_event_counts_when_its_last_socket_has_it(world: World) -> None:
    at = [0.0]
    clock = world.hub.delivery_stats.clock = ServerClock(lambda: at[0])
    clock.learn(0.0, 0.0, int(NOW_S * 1e6))
    room, latency = world.room(), world.hub.delivery_stats.latency
    for _ in range(LIMITS.fan_out_sockets + 1):
        world.member(room)
    rest = world.hub.receive(room.channel, world.message(room, int(NOW_S * 1e6)))
    assert sum(latency.counts) == 0
    at[0] = 0.3
    assert rest is not None
    assert rest() is None
    assert sum(latency.counts) == 1
    assert latency.total == pytest.approx(0.3, abs=1e-5)


def test_an_event_from_the_future_is_within_the_clocks_error_and_takes_no_time(world: World) -> None:
    clock = world.hub.delivery_stats.clock = ServerClock(lambda: 0.0)
    clock.learn(0.0, 0.0, int(NOW_S * 1e6))
    world.receive(world.room(), int(NOW_S * 1e6) + 50)
    assert world.hub.delivery_stats.latency.counts[0] == 1
    assert world.hub.delivery_stats.latency.total == 0.0
