"""Hearing Redis: every channel, after every break."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core.limits import Limits
from gateway.redis.connection import RedisUnavailable
from tests.redis.conftest import Ear, subscribed
from tests.support.proxy import Proxy
from tests.support.waiting import PATIENCE_S, until

Client = Any  # redis.asyncio.Redis, whose commands are not typed


async def test_a_channel_is_heard_once_it_is_confirmed(ear: Ear, redis_client: Client) -> None:
    await subscribed(ear, b"a", b"b")
    assert await redis_client.publish("a", "1") == 1
    await redis_client.publish("c", "2")
    await redis_client.publish("b", "3")
    await until(lambda: len(ear.heard) == 2)
    assert ear.heard == [(b"a", b"1"), (b"b", b"3")]


async def test_a_channel_is_asked_for_once_however_many_want_it(ear: Ear, redis_client: Client) -> None:
    first, second = ear.subscriber.subscribe(b"a"), ear.subscriber.subscribe(b"a")
    assert first is second
    await first
    assert len(ear.subscriber) == 1


@pytest.mark.parametrize("limits", [Limits(subscribed_channels=10)])
async def test_many_channels_are_asked_for_in_batches(ear: Ear, redis_proxy: Proxy) -> None:
    await subscribed(ear, *(b"c%d" % i for i in range(95)))
    (connection,) = redis_proxy.links_that_asked(b"rt:probe")
    assert connection.asked.count(b"SUBSCRIBE") == 1 + 10


async def test_a_channel_that_was_given_up_is_not_heard(ear: Ear, redis_client: Client) -> None:
    await subscribed(ear, b"a", b"b")
    ear.subscriber.unsubscribe([b"a", b"never"])
    await ear.subscriber.fence()
    assert await redis_client.publish("a", "1") == 0
    assert len(ear.subscriber) == 1


async def test_a_channel_that_is_given_up_and_wanted_again_counts_as_heard_only_when_it_is(
    ear: Ear, redis_proxy: Proxy, redis_client: Client
) -> None:
    redis_proxy.stall()
    ear.subscriber.subscribe(b"a")
    await asyncio.sleep(0)
    ear.subscriber.unsubscribe([b"a"])
    again = ear.subscriber.subscribe(b"a")
    heard_when_confirmed: list[bool] = []
    again.add_done_callback(lambda _: heard_when_confirmed.append(ear.subscriber._unconfirmed.get(b"a", 0) == 0))
    redis_proxy.resume()
    await asyncio.wait_for(again, PATIENCE_S)
    assert heard_when_confirmed == [True]
    assert await redis_client.publish("a", "1") == 1


async def test_a_fence_comes_after_everything_that_was_published_before_it(ear: Ear, redis_client: Client) -> None:
    await subscribed(ear, b"a")
    for i in range(50):
        await redis_client.publish("a", i)
    await ear.subscriber.fence()
    assert ear.data == [str(i).encode() for i in range(50)]


async def test_a_fence_that_can_not_come_back_says_so(ear: Ear, redis_proxy: Proxy) -> None:
    redis_proxy.stall()
    fence = asyncio.ensure_future(ear.subscriber.fence())
    await asyncio.sleep(0)
    redis_proxy.cut()
    with pytest.raises(RedisUnavailable):
        await asyncio.wait_for(fence, PATIENCE_S)
    redis_proxy.resume()


# -- breaks


@pytest.mark.parametrize("limits", [Limits(subscribed_channels=3)])
async def test_after_a_break_every_channel_is_heard_again(
    ear: Ear, redis_proxy: Proxy, redis_client: Client
) -> None:
    channels = [b"c%d" % i for i in range(10)]
    await subscribed(ear, *channels)
    redis_proxy.cut(redis_proxy.links_that_asked(b"SUBSCRIBE"))
    await until(lambda: ear.returns == 1)
    assert ear.losses == 1
    for channel in channels:
        assert await redis_client.publish(channel, channel) == 1
    await until(lambda: len(ear.heard) == 10)


async def test_a_channel_that_was_asked_for_during_a_break_is_confirmed_after_it(
    ear: Ear, redis_proxy: Proxy, redis_client: Client
) -> None:
    await redis_proxy.refuse()
    await until(lambda: ear.losses == 1)
    wanted = ear.subscriber.subscribe(b"late")
    ear.subscriber.subscribe(b"given up")
    ear.subscriber.unsubscribe([b"given up"])
    await redis_proxy.start()
    await asyncio.wait_for(wanted, PATIENCE_S)
    assert await redis_client.publish("late", "1") == 1
    assert await redis_client.publish("given up", "1") == 0


async def test_fifty_breaks_in_a_row_leave_it_hearing_over_one_connection(ear: Ear, redis_client: Client) -> None:
    await subscribed(ear, b"a")
    for i in range(50):
        await redis_client.client_kill_filter(_type="pubsub")
        await until(lambda i=i: ear.returns == i + 1)  # type: ignore[misc]
        assert await redis_client.publish("a", i) == 1
    await until(lambda: len(ear.heard) == 50)
    assert ear.losses == ear.subscriber.reconnects == 50
    names = [client["name"] for client in await redis_client.client_list()]
    assert names.count("gateway") == 2  # one that hears, one that asks


async def test_a_backlog_beyond_redis_output_buffer_costs_a_reconnect_and_no_more(
    ear: Ear, redis_proxy: Proxy, redis_client: Client
) -> None:
    await subscribed(ear, b"a")
    await redis_client.config_set("client-output-buffer-limit", "pubsub 1mb 0 0")
    redis_proxy.stall(redis_proxy.links_that_asked(b"SUBSCRIBE"))
    heard_by = 1
    while heard_by:
        heard_by = await redis_client.publish("a", b"x" * 8000)
    redis_proxy.resume()
    await until(lambda: ear.returns == 1)
    await redis_client.publish("a", "after")
    await until(lambda: b"after" in ear.data)
    assert ear.subscriber.reconnects == 1


async def test_a_message_of_33_mb_stops_nothing(ear: Ear, redis_client: Client) -> None:
    await subscribed(ear, b"a")
    await redis_client.publish("a", b"x" * (33 << 20))
    # Redis delivers it or cuts the connection that it is too much for, by version; either way we hear on.

    async def hears_again() -> bool:
        await redis_client.publish("a", "after")
        return b"after" in ear.data

    await until(hears_again)


async def test_a_break_in_the_middle_of_coming_back_begins_again(ear: Ear, redis_proxy: Proxy) -> None:
    await subscribed(ear, b"a")
    redis_proxy.cut(redis_proxy.links_that_asked(b"SUBSCRIBE"))
    redis_proxy.stall()
    await until(lambda: ear.losses == 1)
    await until(lambda: redis_proxy.accepted >= 3)
    redis_proxy.cut()
    redis_proxy.resume()
    await until(lambda: ear.returns == 1)
