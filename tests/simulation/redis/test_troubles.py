"""The troubles of the simulated Redis, its expiry, its journal, and its connections."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.redis.commands import Commands
from gateway.redis.connection import ReplyError, Source
from publisher import AsyncPublisher
from publisher.wire import parse_message
from tests.simulation.redis.random_commands import random_command
from tests.simulation.redis.rivals import RawClient, Rivals, SimulatedClient
from tests.simulation.redis.server import RedisServer

BEGAN_US = 1_764_518_208_123_456
WRITES = (
    ("SET", "s", "1"),
    ("EVAL", "return redis.call('SET', 's', '1')", 0),
    ("EVAL", "return redis.pcall('SET', 's', '1').err", 0),
    ("EVAL", "redis.call('GET', 's') redis.call('PUBLISH', 'a', 'b') return redis.call('SET', 's', '1')", 0),
    ("EVAL", "redis.call('DEL', 'none') return redis.call('SET', 's', '2')", 0),
    ("EVAL", "return redis.call('GET', 's')", 0),
    ("EVAL", "return redis.call('PEXPIRE', 's', 100000000)", 0),
    ("GET", "s"),
    ("DEL", "none"),
    ("PUBLISH", "a", "b"),
    ("SCRIPT", "LOAD", "return 1"),
    ("PING",),
)

APPENDS = """
for i = 1, 3 do redis.call('XADD', KEYS[1], '*', 'a', i) end
redis.call('PEXPIRE', KEYS[1], 50000)
"""


class Clock:
    """A wall clock that the test moves."""

    def __init__(self) -> None:
        self.now_us = BEGAN_US

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> RedisServer:
    return RedisServer(clock, journal=True, most_lost=20)


@pytest.fixture
def rivals(shared_redis_server: EmbeddedRedis) -> Iterator[Rivals]:
    rivals = Rivals(shared_redis_server.port)
    yield rivals
    rivals.starve(of_memory=False)
    rivals.real.call("REPLICAOF", "NO", "ONE")
    rivals.close()


def same_texts(rivals: Rivals) -> list[str]:
    """Send `WRITES` to both servers; return the errors, which must be the same to the letter."""
    errors = []
    for words in WRITES:
        real, simulated = rivals.real.call(*words), rivals.simulated.call(*words)
        assert (words, type(real), without_line(real)) == (words, type(simulated), without_line(simulated))
        if isinstance(real, ReplyError):
            errors.append(str(real))
    return errors


def without_line(reply: object) -> str:
    """Return a reply as text without the line of a script, which LuaJIT does not know after a tail call."""
    return re.sub(r"user_script:\d+", "user_script", str(reply))


# Refusals


def test_it_runs_out_of_memory_as_valkey_does(rivals: Rivals) -> None:
    rivals.call("SET", "s", "0")
    rivals.starve(of_memory=True)
    errors = same_texts(rivals)
    assert errors[0] == "OOM command not allowed when used memory > 'maxmemory'."
    assert len(errors) == 3
    assert rivals.server.keyspace.string(b"s") == b"2", "a script that has written goes on"


def test_a_demoted_master_refuses_as_valkey_does(rivals: Rivals) -> None:
    rivals.call("SET", "s", "0")
    rivals.real.call("REPLICAOF", "127.0.0.1", "1")
    rivals.server.read_only = True
    errors = same_texts(rivals)
    assert errors[0] == "READONLY You can't write against a read only replica."
    assert rivals.server.keyspace.string(b"s") == b"0"
    rivals.call("WAIT", 1, 1)
    assert rivals.simulated.call("ROLE")[0] == rivals.real.call("ROLE")[0] == b"slave"


def test_while_it_loads_it_answers_little(server: RedisServer) -> None:
    client = SimulatedClient(server)
    server.loading = True
    for words in (("GET", "s"), ("PING",), ("EVALSHA", "0" * 40, 0), ("SCRIPT", "LOAD", "return 1")):
        assert str(client.call(*words)) == "LOADING Valkey is loading the dataset in memory"
    assert client.call("CLIENT", "SETNAME", "x") == b"OK"
    assert client.call("SUBSCRIBE", "a") == [b"subscribe", b"a", 1]


def test_errors_in_scripts_read_like_valkeys(rivals: Rivals) -> None:
    for source in (
        "return redis.call('HGET', 's')",
        "\n\nreturn redis.call('NOPE')",
        "return redis.call()",
        "return redis.call('SUBSCRIBE', 'a')",
        "return redis.error_reply('MY fault')",
        "return redis.error_reply('fault')",
        "return redis.status_reply('FINE')",
        "return {1, 'a', false, 2.9, {true, {}}, nil, 3}",
        "return redis.call('ZRANGE', 'none', 0, -1)",
    ):
        words = ("EVAL", source, 0)
        real, simulated = rivals.real.call(*words), rivals.simulated.call(*words)
        assert (source, without_line(real)) == (source, without_line(simulated))
    for source in (
        "x = 1",
        "return x",
        "local a = nil; return a.b",
        "return nope(",
        "error('x')",
    ):
        rivals.call("EVAL", source, 0)
        rivals.call("EVAL", "return 'fine'", 0)


@pytest.mark.parametrize("count", [7990, 8000, 20_000])
def test_long_calls_end_where_valkeys_end(rivals: Rivals, count: int) -> None:
    """Lua pushes at most 8,000 values at once; keys, arguments and replies may be more."""
    words = [str(i) for i in range(count)]
    rivals.call("EVAL", "return redis.call('DEL', unpack(ARGV))", 0, *words)
    rivals.call("EVAL", "return #KEYS * 100000 + #ARGV", count // 2, *words)
    rivals.call("ZADD", "many", *(part for word in words for part in (word, word)))
    rivals.call("EVAL", "return #redis.call('ZRANGE', 'many', 0, -1)", 0)


# Expiry


def test_keys_expire_by_the_clock(server: RedisServer, clock: Clock) -> None:
    client = SimulatedClient(server)
    client.call("SET", "a", "1", "PX", 1500)
    client.call("SET", "b", "1", "PX", 500)
    clock.now_us += 400_000
    assert client.call("PTTL", "a") == 1100
    clock.now_us += 100_000
    assert client.call("PTTL", "b") == 0, "the last ms of its life"
    clock.now_us += 100_000
    assert client.call("GET", "b") is None
    clock.now_us += 1_000_000
    assert client.call("DBSIZE") == 1, "nobody has looked at it"
    assert server.expire_due() == 1
    assert client.call("DBSIZE") == 0


# Restarts


def test_a_restart_ends_connections_scripts_and_subscriptions(server: RedisServer) -> None:
    client, subscriber = SimulatedClient(server), SimulatedClient(server)
    client.call("SET", "a", "1")
    sha = client.call("SCRIPT", "LOAD", "return 1")
    subscriber.call("SUBSCRIBE", "channel")
    server.restart()
    assert client.wire.is_closing()
    assert subscriber.wire.is_closing()
    assert not server.connections
    client = SimulatedClient(server)
    assert client.call("PUBLISH", "channel", "x") == 0
    assert str(client.call("EVALSHA", sha, 0)).startswith("NOSCRIPT")
    assert client.call("GET", "a") == b"1"
    server.restart(lose=None)
    assert SimulatedClient(server).call("DBSIZE") == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lost", [1, 7, 20])
def test_a_restart_loses_the_last_writes(server: RedisServer, clock: Clock, seed: int, lost: int) -> None:
    rng = Random(seed)
    client = SimulatedClient(server)
    dumps: list[Any] = [server.keyspace.copy()]
    for _ in range(3):
        for _ in range(rng.randrange(100, 150)):
            before = server.writes
            client.call(*_write(rng))
            if server.writes > before:
                dumps.append(server.keyspace.copy())
            clock.now_us += rng.choice((0, 1000, 40_000_000))
            if rng.random() < 0.1:
                server.expire_due()
        kept = dumps[-1 - lost]
        server.failover(behind=lost) if rng.random() < 0.5 else server.restart(lose=lost)
        for keys in (kept, server.keyspace):
            keys.at(clock.now_us)
        assert server.keyspace.dump() == kept.dump()
        dumps = [server.keyspace.copy()]
        client = SimulatedClient(server)


def _write(rng: Random) -> Any:
    if rng.random() < 0.3:
        return "EVAL", APPENDS, 1, "x9"
    if rng.random() < 0.2:
        return "SET", f"s{rng.randrange(3)}", "short", "PX", rng.choice((1, 1500, 60_000))
    return random_command(rng)


def test_more_than_the_journal_holds_can_not_be_lost(server: RedisServer, clock: Clock) -> None:
    client = SimulatedClient(server)
    for i in range(5):
        client.call("SET", "a", i)
    with pytest.raises(ValueError, match="only the last 5"):
        server.restart(lose=6)
    with pytest.raises(ValueError, match="without a journal"):
        RedisServer(clock).restart(lose=1)


# Connections


def test_a_subscriber_that_reads_too_slowly_is_cut(server: RedisServer) -> None:
    client, subscriber = SimulatedClient(server), SimulatedClient(server)
    subscriber.call("SUBSCRIBE", "channel")
    server.output_limit_bytes = 1000
    subscriber.wire.unsent = 1000
    assert client.call("PUBLISH", "channel", "x") == 1
    assert not subscriber.wire.is_closing()
    subscriber.wire.unsent = 1001
    client.call("PUBLISH", "channel", "x")
    assert subscriber.wire.is_closing()
    assert client.call("PUBLISH", "channel", "x") == 0


def test_a_subscriber_may_do_little_else(rivals: Rivals) -> None:
    for words in (
        ("SUBSCRIBE", "a", "b"),
        ("GET", "s"),
        ("PING",),
        ("PING", "x"),
        ("UNSUBSCRIBE", "a"),
        ("PING",),
    ):
        rivals.call(*words)
        if words == ("SUBSCRIBE", "a", "b"):
            assert rivals.real.read() == rivals.simulated.read()
    for words in (("UNSUBSCRIBE",), ("UNSUBSCRIBE",), ("GET", "s")):
        rivals.call(*words)


def test_patterns_hear_what_valkeys_hear(rivals: Rivals) -> None:
    for pattern in ("rt:{a}:*", "rt:{?}:room:[a-c]*", "rt:{a}:room:[^x]"):
        rivals.call("PSUBSCRIBE", pattern)
    others = RawClient(rivals.port), SimulatedClient(rivals.server)
    for channel in ("rt:{a}:room:b", "rt:{a}:room:x", "rt:{b}:room:bcd", "rt:{b}:notices"):
        told = {other.call("PUBLISH", channel, "text") for other in others}
        assert len(told) == 1
        heard = [sorted(client.read() for _ in range(*told)) for client in (rivals.real, rivals.simulated)]
        assert heard[0] == heard[1]
    others[0].close()
    rivals.call("PUNSUBSCRIBE", "rt:{a}:*")


async def test_wait_waits_for_replicas(server: RedisServer) -> None:
    client = SimulatedClient(server)
    client.send("WAIT", 1, 1)
    client.send("PING")
    assert not client.wire.written
    await asyncio.sleep(0.005)
    assert (client.read(), client.read()) == (0, b"PONG")
    server.replicas = 1
    assert client.call("WAIT", 1, 20) == 1


async def test_the_gateway_and_the_publisher_work_with_it(server: RedisServer) -> None:
    """Over real sockets: the gateway's connections in RESP2, and redis-py's in its own default."""
    listening = await asyncio.get_running_loop().create_server(server.protocol, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0"
    tenant, room = "00000000-0000-0000-0000-000000000001", "conversation:00000000-0000-0000-0000-000000000002"
    commands = Commands(Source(url, name="test"))
    await commands.start()
    try:
        async with redis.asyncio.Redis.from_url(url) as client, client.pubsub() as pubsub:
            await pubsub.subscribe(f"rt:{{{tenant}}}:room:{room}")
            assert (await pubsub.get_message(timeout=5.0))["type"] == "subscribe"
            async with AsyncPublisher.from_url(url) as publisher:
                receipt = await publisher.emit(tenant, "message:new", {"id": 1}, to=room)
            message = await pubsub.get_message(timeout=5.0)
            assert parse_message(message["data"]).offset.decode() == receipt.offset
            assert await client.hget(f"rt:{{{tenant}}}:meta", "seq") == receipt.offset.split("-")[1].encode()
            await client.zadd("z", {"a": 1.5})
            assert await client.zrange("z", 0, -1, withscores=True) == [(b"a", 1.5)]
            assert (await client.info())["valkey_version"] == "9.1.2"
        assert await commands.ask("ZRANGE", "z", 0, -1, "WITHSCORES") == [b"a", b"1.5"]
        assert [int(part) for part in await commands.ask("TIME")] == [BEGAN_US // 1_000_000, BEGAN_US % 1_000_000]
    finally:
        await commands.stop()
        listening.close()
        await listening.wait_closed()
