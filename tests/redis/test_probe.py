"""Knowing whether Redis is heard, and doing something about it where it is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core.limits import Limits
from tests.redis.conftest import Ear, subscribed
from tests.support.proxy import Proxy
from tests.support.waiting import until

Client = Any  # redis.asyncio.Redis, whose commands are not typed


# Probes ten times a second, and no trust after 0.4 s of silence.
IMPATIENT = Limits(probe_every_s=0.1, probe_timeout_s=0.4)

impatient = pytest.mark.parametrize("limits", [IMPATIENT])


@impatient
async def test_a_probe_that_comes_back_proves_that_it_hears(ear: Ear) -> None:
    await until(lambda: ear.subscriber.heard_until > 0)
    assert ear.subscriber.hears
    assert ear.subscriber.deaf == 0


@impatient
async def test_a_connection_that_has_gone_deaf_is_noticed_and_rebuilt(
    ear: Ear, redis_proxy: Proxy, redis_client: Client
) -> None:
    await subscribed(ear, b"a")
    redis_proxy.abandon(redis_proxy.links_that_asked(b"SUBSCRIBE"))
    await until(lambda: not ear.subscriber.hears)
    await until(lambda: ear.returns == 1)
    assert ear.subscriber.deaf == 1
    await redis_client.publish("a", "again")
    await until(lambda: ear.data == [b"again"])
    await until(lambda: ear.subscriber.hears)


@impatient
async def test_a_connection_that_hears_well_is_left_alone_though_nothing_can_be_asked(
    ear: Ear, redis_proxy: Proxy
) -> None:
    redis_proxy.stall(redis_proxy.links_that_asked(b"SCRIPT"))
    await until(lambda: not ear.subscriber.hears)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await until(lambda: loop.time() - begin > 0.6)
    assert (ear.losses, ear.subscriber.deaf) == (0, 0)
    redis_proxy.resume()


@impatient
async def test_it_does_not_hear_before_what_was_missed_is_made_good(ear: Ear, redis_proxy: Proxy) -> None:
    await until(lambda: ear.subscriber.heard_until > 0)
    ear.coming_back.clear()
    redis_proxy.cut(redis_proxy.links_that_asked(b"SUBSCRIBE"))
    await until(lambda: ear.losses == 1)
    await until(lambda: len(redis_proxy.links_that_asked(b"SUBSCRIBE")) == 1)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await until(lambda: loop.time() - begin > 0.5)  # several probes come back meanwhile
    assert not ear.subscriber.hears
    ear.coming_back.set()
    await until(lambda: ear.subscriber.hears)
