"""Browsers in front of the real nginx, with the real configuration."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest

from gateway.embedded import EmbeddedRedis, free_port
from tests.deploy.nginx import Proxies, ask
from tests.deploy.upstream import Upstreams
from tests.support.channels import HandshakeRefused
from tests.support.client import Clients, RawClient
from tests.support.publisher_process import Publishers
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id
from tests.support.waiting import until

POLLING = "/socket.io/?EIO=4&transport=polling"
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"


def ports(replicas: Sequence[Replica]) -> list[int]:
    return [replica.port for replica in replicas]


def sockets(replicas: Sequence[Replica]) -> list[int]:
    """Count the sockets of each replica, the fullest first."""
    return sorted((replica.health()["sockets"] for replica in replicas), reverse=True)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_an_event_arrives_through_nginx(
    redis_server: EmbeddedRedis,
    replicas: Replicas,
    proxies: Proxies,
    clients: Clients,
    publishers: Publishers,
    transport: str,
) -> None:
    nginx = proxies(ports([replicas(redis_server.url) for _ in range(3)]))
    organization, conversation = new_id(), new_id()
    client = await clients(nginx.url, mint(organization_id=organization), transport=transport).connect()
    await client.join(conversation)
    message = {"id": new_id(), "conversation_id": conversation}
    await publishers(redis_server.url).acall("message_new", organization, message)
    assert (await client.wait_for("message:new")).data["id"] == message["id"]


async def test_polling_stays_on_one_replica(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies, clients: Clients
) -> None:
    gateways = [replicas(redis_server.url) for _ in range(3)]
    nginx = proxies(ports(gateways))
    browsers = [clients(nginx.url, mint(), transport="polling") for _ in range(4)]
    for browser in browsers:
        await browser.connect()
        for _ in range(5):
            await browser.join(new_id())
    assert sockets(gateways) == [4, 0, 0]
    assert all(browser.connected for browser in browsers)


async def test_polling_clients_of_many_addresses_use_all_replicas(upstreams: Upstreams, proxies: Proxies) -> None:
    gateways = [await upstreams(200) for _ in range(3)]
    nginx = proxies([gateway.port for gateway in gateways])
    for number in range(1, 31):
        for _ in range(2):
            await asyncio.to_thread(ask, nginx.url + POLLING, source=f"127.0.0.{number}")
    counts = [Counter(request.headers["X-Forwarded-For"] for request in gateway.requests) for gateway in gateways]
    assert all(counts), "a replica that nobody polls"
    assert sum(len(count) for count in counts) == 30, "an address that polls two replicas"


async def test_websockets_of_one_address_spread_over_the_replicas(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies, clients: Clients
) -> None:
    gateways = [replicas(redis_server.url) for _ in range(3)]
    nginx = proxies(ports(gateways))
    for _ in range(6):
        await clients(nginx.url, mint()).connect()
    assert sockets(gateways) == [2, 2, 2]


async def test_an_upgrade_reaches_the_replica_of_its_polls(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies
) -> None:
    nginx = proxies(ports([replicas(redis_server.url) for _ in range(3)]))
    async with aiohttp.ClientSession(nginx.url) as http:
        for _ in range(6):
            async with http.get(POLLING) as opened:
                sid = json.loads((await opened.text())[1:])["sid"]
            async with http.ws_connect(f"{WEBSOCKET}&sid={sid}") as websocket:
                await websocket.send_str("2probe")
                assert await websocket.receive_str() == "3probe"
                await websocket.send_str("5")


async def test_an_idle_websocket_outlives_the_read_timeout_by_its_heartbeats(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies
) -> None:
    gateway = replicas(redis_server.url, GATEWAY_PING_INTERVAL_S="0.5", GATEWAY_PING_TIMEOUT_S="0.4")
    nginx = proxies([gateway.port], {"proxy_read_timeout 75s": "proxy_read_timeout 1s"})
    async with aiohttp.ClientSession(nginx.url) as http, http.ws_connect(WEBSOCKET) as websocket:
        await websocket.receive_str()
        await websocket.send_str("40" + json.dumps({"token": mint()}))
        pings = 0
        while pings < 5:
            packet = await websocket.receive_str()
            if packet == "2":
                pings += 1
                await websocket.send_str("3")
        assert not websocket.closed


async def test_the_clients_address_reaches_the_replica_and_a_forged_one_does_not(
    upstreams: Upstreams, proxies: Proxies
) -> None:
    gateway = await upstreams(200)
    nginx = proxies([gateway.port])
    forged = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Host": "evil.test", "Forwarded": "for=9.9.9.9"}
    await asyncio.to_thread(ask, nginx.url + POLLING, source="127.0.0.5", headers=forged)
    (request,) = gateway.requests
    assert request.headers.getall("X-Forwarded-For") == ["127.0.0.5"]
    assert request.headers["X-Forwarded-Proto"] == "http"
    assert request.headers["Host"] == "127.0.0.1"
    assert not {"X-Forwarded-Host", "Forwarded"} & set(request.headers)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_the_replicas_log_names_the_client_behind_nginx(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies, transport: str
) -> None:
    gateway = replicas(redis_server.url, GATEWAY_TRUSTED_PROXIES="127.0.0.1")
    nginx = proxies([gateway.port])
    forged = {"X-Forwarded-For": "9.9.9.9"}
    auth = "40" + json.dumps({"token": "nonsense"})
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.5", 0))
    async with aiohttp.ClientSession(nginx.url, connector=connector, headers=forged) as http:
        if transport == "websocket":
            async with http.ws_connect(WEBSOCKET) as websocket:
                await websocket.send_str(auth)
                await until(lambda: gateway.log_lines("socket_refused"))
        else:
            async with http.get(POLLING) as opened:
                sid = json.loads((await opened.text())[1:])["sid"]
            async with http.post(f"{POLLING}&sid={sid}", data=auth):
                await until(lambda: gateway.log_lines("socket_refused"))
    (line,) = gateway.log_lines("socket_refused")
    assert line["remote"] == "127.0.0.5"


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_drained_replica_is_passed_over(
    redis_server: EmbeddedRedis,
    replicas: Replicas,
    upstreams: Upstreams,
    proxies: Proxies,
    clients: Clients,
    transport: str,
) -> None:
    draining = [await upstreams(503) for _ in range(2)]
    gateway = replicas(redis_server.url)
    nginx = proxies([draining[0].port, gateway.port, draining[1].port])
    for _ in range(6):
        await clients(nginx.url, mint(), transport=transport).connect()
    assert any(upstream.requests for upstream in draining)
    assert sockets([gateway]) == [6]


async def test_a_refusal_of_all_replicas_reaches_the_client(upstreams: Upstreams, proxies: Proxies) -> None:
    nginx = proxies([(await upstreams(503)).port])
    assert (await asyncio.to_thread(ask, nginx.url + POLLING))[0] == 503


@pytest.mark.parametrize(
    "path", ["/", "/health", "/health/ready", "/metrics", "/api/v1/events", "/console", "/socket.io/../health"]
)
async def test_only_socket_io_is_public(upstreams: Upstreams, proxies: Proxies, path: str) -> None:
    gateway = await upstreams(200)
    nginx = proxies([gateway.port])
    assert (await asyncio.to_thread(ask, nginx.url + path))[0] == 404
    assert not gateway.requests


async def test_the_log_names_failures_and_no_session(upstreams: Upstreams, proxies: Proxies) -> None:
    down = free_port()
    nginx = proxies([(await upstreams(400)).port, down])
    for number in range(1, 9):
        source = f"127.0.0.{number}"
        await asyncio.to_thread(ask, f"{nginx.url}{POLLING}&sid=confidential", source=source)
    await until(lambda: nginx.access_log().count(" /socket.io/ ") == 8, what="a line for each request")
    assert " GET /socket.io/ 400 " in nginx.access_log()
    assert f"127.0.0.1:{down}, " in nginx.access_log()
    assert "confidential" not in nginx.access_log() + nginx.error_log()


async def test_a_payload_that_is_too_large_is_refused_by_the_gateway_itself(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies
) -> None:
    nginx = proxies([replicas(redis_server.url).port])
    opened = (await asyncio.to_thread(ask, nginx.url + POLLING))[1]
    url = f"{nginx.url}{POLLING}&sid={json.loads(opened[1:])['sid']}"
    status, body = await asyncio.to_thread(ask, url, method="POST", body=b"4" + b"x" * 1_500_000)
    assert (status, json.loads(body)["message"]) == (413, "Payload too large")


async def test_replicas_that_were_all_down_get_clients_as_soon_as_they_are_back(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies, clients: Clients
) -> None:
    gateways = [replicas(redis_server.url) for _ in range(2)]
    nginx = proxies(ports(gateways))
    for gateway in gateways:
        gateway.kill()
    for _ in range(4):
        with pytest.raises(HandshakeRefused, match="502"):
            await clients(nginx.url, mint()).connect()
    for gateway in gateways:
        await gateway.restarted()
    for _ in range(4):
        await clients(nginx.url, mint()).connect()
    assert sockets(gateways) == [2, 2]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_rolling_restart_behind_nginx_loses_nothing(
    redis_server: EmbeddedRedis,
    replicas: Replicas,
    proxies: Proxies,
    clients: Clients,
    publishers: Publishers,
    transport: str,
) -> None:
    gateways = [replicas(redis_server.url) for _ in range(3)]
    nginx = proxies(ports(gateways))
    organization, conversation = new_id(), new_id()
    browsers = [clients(nginx.url, mint(organization_id=organization), transport=transport) for _ in range(6)]
    for browser in browsers:
        await browser.connect()
        await browser.join(conversation)
        browser.stay()
    backend = publishers(redis_server.url)
    restarted = asyncio.create_task(_restart_all(gateways))
    published: list[str] = []
    while not restarted.done():
        published.append(new_id())
        await backend.acall("message_new", organization, {"id": published[-1], "conversation_id": conversation})
        await asyncio.wait((restarted,), timeout=0.02)
    await restarted
    for browser in browsers:
        await browser.wait_for("message:new", lambda event: event.data["id"] == published[-1])
        assert _messages(browser) == published
    assert not re.search(r" 50[234] ", nginx.access_log()), "a client that found no replica"
    assert any(browser.recoveries for browser in browsers)
    assert all(all(browser.recoveries) for browser in browsers)


async def _restart_all(gateways: Sequence[Replica]) -> None:
    for gateway in gateways:
        gateway.terminate()
        assert await gateway.ended() == 0
        await gateway.restarted()


def _messages(browser: RawClient) -> list[Any]:
    return [event.data["id"] for event in browser.named("message:new")]


async def test_a_polling_client_whose_replica_drains_connects_at_once(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies, clients: Clients
) -> None:
    gateways = [replicas(redis_server.url) for _ in range(2)]
    nginx = proxies(ports(gateways))
    # Enough of them that the drain takes its time.
    for _ in range(20):
        await clients(nginx.url, mint(), transport="polling").connect()
    (draining,) = [gateway for gateway in gateways if gateway.health()["sockets"]]
    draining.terminate()
    await until(lambda: draining.get("/health/ready")[0] == 503)
    for _ in range(3):
        fresh = await clients(nginx.url, mint(), transport="polling").connect()
        await fresh.join(new_id())
        assert draining.is_running
