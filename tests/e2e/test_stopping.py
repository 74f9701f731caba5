"""`kill -TERM`: the sockets are moved away, the process ends in time, with status 0 and nothing to complain of."""

from __future__ import annotations

import signal
import time

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.support.browsers import TRANSPORTS, VERSIONS, Browsers
from tests.support.client import Clients
from tests.support.idlers import open_idlers
from tests.support.replica import Replica, Replicas
from tests.support.tenant import Tenant
from tests.support.waiting import SLACK_S, until, until_sync
from tests.support.websocket import HandshakeRefused

GRACE_S = 1.5


@pytest.fixture
def going(redis_server: EmbeddedRedis, replicas: Replicas) -> Replica:
    """A replica that is going to stop."""
    return replicas(redis_server.url, GATEWAY_SHUTDOWN_GRACE_S=str(GRACE_S))


def test_it_ends_within_its_grace_with_every_kind_of_socket_connected(
    browsers: Browsers, going: Replica, tenant: Tenant
) -> None:
    pages = [
        browsers(going.url, tenant.token(), version=version, transports=transports)
        for version in VERSIONS
        for transports in TRANSPORTS.values()
    ]
    for page in pages:
        page.connected()
        page.join(tenant.conversation)
    began = time.monotonic()
    going.terminate()
    assert going.wait() == 0
    assert time.monotonic() - began < GRACE_S + SLACK_S
    assert going.log_lines("gateway_stopped")
    assert len(going.log_lines("socket_disconnected")) == len(pages)
    for page in pages:
        # Anything that lets socket.io-client come back by itself.
        assert page.wait("disconnect")["reason"] in ("transport close", "transport error")
    going.start()
    for page in pages:
        page.connected(times=2)
    assert [page.seen("connect")[1]["recovered"] for page in pages] == [False] * 6 + [True] * 3


async def test_ready_turns_false_first_and_nobody_new_gets_in(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients, tenant: Tenant
) -> None:
    # So many, and so long a grace, that moving them away takes its time.
    going = replicas(redis_server.url, GATEWAY_SHUTDOWN_GRACE_S="10")
    staying = [await clients(going.url, tenant.token()).connect() for _ in range(50)]
    await open_idlers(going, 500)
    going.terminate()
    await until(lambda: going.get("/health/ready")[0] == 503, what="ready to turn false")
    assert any(client.connected for client in staying)
    assert going.get("/health/ready")[1] == {"status": "not ready", "findings": ["draining"]}
    assert going.get("/health/live")[0] == 200
    assert going.health()["status"] == "degraded"
    for transport in ("websocket", "polling"):
        with pytest.raises(HandshakeRefused) as refused:
            await clients(going.url, tenant.token(), transport=transport).connect()
        assert refused.value.status == 503
    assert await going.ended() == 0
    assert not any(client.connected for client in staying)


def test_ctrl_c_ends_it_like_sigterm(going: Replica) -> None:
    going.signal(signal.SIGINT)
    assert going.wait(GRACE_S + SLACK_S) == 0
    assert going.log_lines("gateway_stopped")


async def test_sighup_ends_nobody_where_there_is_nothing_to_read_again(
    clients: Clients, going: Replica, tenant: Tenant
) -> None:
    client = await clients(going.url, tenant.token()).connect()
    going.hang_up()
    await until(lambda: going.log_lines("nothing_to_reload"), what="the signal to be heard")
    assert (await client.call("ping"))["ok"]
    assert going.health()["status"] == "healthy"


def test_a_second_signal_means_at_once(redis_server: EmbeddedRedis, replicas: Replicas) -> None:
    slow = replicas(redis_server.url, GATEWAY_SHUTDOWN_GRACE_S="300")
    slow.terminate()
    until_sync(lambda: slow.log_lines("gateway_draining"), what="the drain to begin")
    slow.terminate()
    assert slow.wait() == 0
    assert slow.log_lines("gateway_stopped")


async def test_it_ends_while_redis_is_away(
    redis_server: EmbeddedRedis, clients: Clients, going: Replica, tenant: Tenant
) -> None:
    client = await clients(going.url, tenant.token()).connect()
    redis_server.kill()
    await until(lambda: going.health()["status"] == "degraded", what="the replica to notice")
    going.terminate()
    assert await going.ended(GRACE_S + SLACK_S) == 0
    assert not client.connected


async def test_it_ends_while_a_client_does_not_read(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients, tenant: Tenant
) -> None:
    hurried = replicas(redis_server.url, GATEWAY_SHUTDOWN_GRACE_S="0.5")
    client = await clients(hurried.url, tenant.token()).connect()
    client.pause()
    hurried.terminate()
    assert await hurried.ended(0.5 + SLACK_S) == 0


def test_without_sockets_it_ends_at_once(redis_server: EmbeddedRedis, replicas: Replicas) -> None:
    patient = replicas(redis_server.url, GATEWAY_SHUTDOWN_GRACE_S="300")
    patient.terminate()
    assert patient.wait() == 0
