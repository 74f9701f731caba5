"""What orchestrators ask."""

from __future__ import annotations

import os
import signal

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.support.client import Clients
from tests.support.publisher_process import Publishers
from tests.support.pytake import incoming_message
from tests.support.replica import Replica, Replicas
from tests.support.tenant import Tenant, member
from tests.support.waiting import until


def test_a_good_replica_is_healthy_alive_and_ready(replica: Replica) -> None:
    health = replica.health()
    assert health["status"] == "healthy"
    assert health["findings"] == []
    assert replica.get("/health/live") == (200, {"status": "alive"})
    assert replica.get("/health/ready") == (200, {"status": "ready", "findings": []})
    assert replica.get("/no/such/page")[0] == 404


async def test_health_counts_what_goes_on(
    redis_server: EmbeddedRedis, replicas: Replicas, publishers: Publishers, clients: Clients, tenant: Tenant
) -> None:
    replica, publisher = replicas(redis_server.url), publishers(redis_server.url)
    alice = await member(clients, replica.url, tenant)
    await publisher.acall("message_new", tenant.id, incoming_message(tenant.conversation))
    bruno = await member(clients, replica.url, tenant, tenant.bruno)
    await publisher.acall("message_new", tenant.id, incoming_message(tenant.conversation))
    await alice.wait_for("message:new", count=2)
    await bruno.wait_for("message:new")
    health = replica.health()
    counts = {name: health[name] for name in ("sockets", "tenants", "rooms", "events", "deliveries")}
    # Two users' rooms, the organization's, the conversation's.
    # What is told of who is there comes on top of the messages.
    assert counts.pop("events") >= 2
    assert counts.pop("deliveries") >= 3
    assert counts == {"sockets": 2, "tenants": 1, "rooms": 4}


async def test_without_redis_it_is_alive_and_not_ready_and_sockets_stay(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients, tenant: Tenant
) -> None:
    # It may find itself deaf, which is one error in the log: the pause is as long as it waits to be sure.
    replica = replicas(redis_server.url, may_log=["redis_subscriber_deaf"])
    client = await clients(replica.url, tenant.token()).connect()
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        await until(lambda: replica.get("/health/ready")[0] == 503, what="ready to turn false")
        assert replica.health()["status"] == "degraded"
        assert replica.get("/health/live")[0] == 200
        assert client.connected
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    await until(lambda: replica.get("/health/ready")[0] == 200, what="ready to turn true again")
    assert replica.health()["status"] == "healthy"
    assert client.connected
