"""`wait_replicas`: what is acknowledged is on a replica of Redis, also after a retry."""

from __future__ import annotations

import os
import signal
from typing import Any

import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import Receipt
from tests.publisher.senders import Senders, published
from tests.support.redis_server import RedisServers
from tests.support.waiting import PATIENCE_S, until


def client_of(server: EmbeddedRedis) -> Any:
    """Return a client, whose commands are not typed."""
    return redis.asyncio.Redis.from_url(server.url)


async def pair(redis_servers: RedisServers) -> tuple[EmbeddedRedis, EmbeddedRedis]:
    """A server and its replica, in step."""
    server = redis_servers(options=("--repl-diskless-sync-delay", "0"))
    replica = redis_servers()
    async with client_of(replica) as client:
        await client.replicaof("127.0.0.1", server.port)

        async def in_step() -> bool:
            return bool((await client.info("replication"))["master_link_status"] == "up")

        await until(in_step)
    return server, replica


async def test_an_event_counts_as_sent_when_a_replica_has_it(
    senders: Senders, redis_servers: RedisServers
) -> None:
    server, replica = await pair(redis_servers)
    sender = senders(server.url, wait_replicas=1, timeout_s=PATIENCE_S)
    assert (await sender.emit(1)).offset
    async with client_of(replica) as client:
        assert await published(client, sender) == [1]


async def test_a_retry_on_another_connection_waits_for_the_replica_as_well(
    senders: Senders, redis_servers: RedisServers
) -> None:
    server, replica = await pair(redis_servers)
    sender = senders(server.url, wait_replicas=1, timeout_s=0.1)
    async with client_of(server) as client:
        os.kill(replica.pid, signal.SIGSTOP)
        try:
            assert await sender.emit(1) == Receipt(None, queued=True)
            await until(lambda: sender.counters.retries >= 1)
            await client.client_kill_filter(_type="normal", skipme=True)
            await until(lambda: sender.counters.retries >= 2)
            assert (sender.unsent, sender.counters.sent) == (1, 0)
        finally:
            os.kill(replica.pid, signal.SIGCONT)
        await until(lambda: sender.unsent == 0)
        assert await published(client, sender) == [1]


async def test_a_master_that_becomes_a_replica_costs_no_event(
    senders: Senders, redis_servers: RedisServers
) -> None:
    server, _ = await pair(redis_servers)
    sender = senders(server.url, wait_replicas=1, timeout_s=0.1)
    await sender.emit(1)
    await until(lambda: sender.unsent == 0)
    async with client_of(server) as client:
        await client.replicaof("127.0.0.1", 1)
        assert await sender.emit(2) == Receipt(None, queued=True)
        await until(lambda: sender.counters.retries >= 2)
        await client.replicaof("no", "one")
        await until(lambda: sender.unsent == 0)
        assert await published(client, sender) == [1, 2]
    assert (sender.counters.sent, sender.counters.failed) == (2, 0)
