"""Asking Redis: it comes back by itself, its scripts are there when it is, and nothing is left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core.limits import LIMITS, Limits
from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.redis.commands import OPEN_ERRORS, Commands, new_backoff
from gateway.redis.connection import RedisUnavailable, ReplyError, Source
from publisher import Options, conversation
from publisher.envelope import build_event
from tests.support.proxy import Proxy
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S, until

Client = Any  # redis.asyncio.Redis, whose commands are not typed


async def connections(client: Client) -> int:
    return [entry["name"] for entry in await client.client_list()].count("gateway")


async def test_an_unreachable_server_at_the_start_is_an_error(redis_proxy: Proxy) -> None:
    await redis_proxy.refuse()
    with pytest.raises(OPEN_ERRORS):
        await Commands(Source(redis_proxy.url, name="gateway")).start()


def test_redis_may_be_away_for_days() -> None:
    assert 0.0 < new_backoff(LIMITS).compute(1_000_000) <= LIMITS.reconnect_most_s


async def test_a_script_is_there_whenever_the_connection_is_up(source: Source) -> None:
    commands = Commands(source)
    read = commands.script("rooms/read_logs")
    await commands.start()
    reply = await commands.run(read, ["rt:{t}:meta"], 0, "e1", 5)
    assert reply[0] == b"e1"
    await commands.stop()


async def test_scripts_that_redis_lost_are_loaded_again(commands: Commands, redis_client: Client) -> None:
    read = commands.script("rooms/read_logs")
    await redis_client.script_flush()
    replies = await asyncio.gather(*(commands.run(read, ["rt:{t}:meta"], 0, "e1", 5) for _ in range(20)))
    assert {reply[0] for reply in replies} == {b"e1"}


async def test_an_envelope_of_the_publisher_is_published(commands: Commands) -> None:
    envelope = build_event(new_id(), "e", 1, conversation(new_id()), Options(), key="k")
    first, second = await commands.publish(envelope), await commands.publish(envelope)
    assert (first[0], second[0]) == (0, 1)
    assert first[1] == second[1]


async def test_a_question_of_redis_own_error_is_a_reply_error(commands: Commands) -> None:
    with pytest.raises(ReplyError, match=r"^ERR"):
        await commands.ask("NONSENSE")
    assert commands.is_up


async def test_while_redis_is_away_questions_fail_at_once(commands: Commands, redis_proxy: Proxy) -> None:
    await redis_proxy.refuse()
    await until(lambda: not commands.is_up)
    with pytest.raises(RedisUnavailable):
        await commands.ask("PING")
    with pytest.raises(RedisUnavailable):
        await commands.wait_up(0.01)


async def test_it_comes_back_by_itself_with_its_scripts(commands: Commands, redis_server: EmbeddedRedis) -> None:
    read = commands.script("rooms/read_logs")
    redis_server.kill()
    await until(lambda: not commands.is_up)
    redis_server.start()
    await commands.wait_up(10.0)
    assert (await commands.run(read, ["rt:{t}:meta"], 0, "e1", 5))[0] == b"e1"
    assert commands.reconnects == 1


async def test_fifty_reconnects_leak_no_connection(
    commands: Commands, redis_proxy: Proxy, redis_client: Client
) -> None:
    for i in range(50):
        redis_proxy.cut()
        await until(lambda i=i: commands.reconnects == i + 1)  # type: ignore[misc]
        assert await commands.ask("PING") == b"PONG"
    assert await connections(redis_client) == 1


async def test_a_server_that_can_not_load_scripts_yet_costs_no_connections(
    commands: Commands, redis_proxy: Proxy, redis_client: Client
) -> None:
    # As a server does that is still reading its data: it takes connections, and no scripts.
    await redis_client.acl_setuser("default", enabled=True, nopass=True, commands=["-script|load"])
    before = redis_proxy.accepted
    redis_proxy.cut()
    await until(lambda: redis_proxy.accepted >= before + 4)
    assert not commands.is_up
    await redis_client.acl_setuser("default", enabled=True, nopass=True, commands=["+script|load"])
    await commands.wait_up(10.0)
    assert await commands.ask("PING") == b"PONG"

    async def one() -> bool:
        return await connections(redis_client) == 1

    await until(one)
    assert commands.reconnects == 1


@pytest.mark.parametrize("limits", [Limits(redis_answer_s=0.1)])
async def test_a_half_open_connection_is_noticed_and_replaced(commands: Commands, redis_proxy: Proxy) -> None:
    redis_proxy.abandon()
    asked = commands.ask("PING")
    with pytest.raises(RedisUnavailable):
        await asyncio.wait_for(asked, PATIENCE_S)
    await commands.wait_up(10.0)
    assert await commands.ask("PING") == b"PONG"
    assert commands.reconnects == 1


@pytest.mark.parametrize("limits", [Limits(redis_answer_s=0.0)])
async def test_a_connection_that_is_asked_nothing_is_left_alone(commands: Commands) -> None:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await until(lambda: loop.time() - begin > 1.2)  # longer than its watch looks away
    assert commands.is_up
    assert commands.reconnects == 0


async def test_stopping_ends_it_for_good(source: Source, redis_client: Client) -> None:
    commands = Commands(source)
    await commands.start()
    await commands.stop()
    with pytest.raises(RedisUnavailable):
        await commands.ask("PING")

    async def none() -> bool:
        return await connections(redis_client) == 0

    await until(none)
