"""Browsers in front of the real proxies, with the real configuration of each."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.deploy.conftest import only
from tests.deploy.nginx import Nginx
from tests.deploy.proxy import Proxies, Proxy, ask
from tests.deploy.traefik import Traefik
from tests.deploy.upstream import Upstreams
from tests.support.client import Clients, RawClient
from tests.support.polling import Poller
from tests.support.publisher_process import Publishers
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id
from tests.support.waiting import until
from tests.support.websocket import HandshakeRefused
from tests.tls.authority import Authority

BASE = "/socket.io/?EIO=4"
POLLING = f"{BASE}&transport=polling"
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"
BEHIND = {"GATEWAY_TRUSTED_PROXIES": "127.0.0.1"}

both_transports = pytest.mark.parametrize("transport", ["websocket", "polling"])


@pytest.fixture(scope="module")
def running(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> list[Replica]:
    """Three replicas for the tests that leave them alone."""
    return [shared_replicas(shared_redis_server.url, **BEHIND) for _ in range(3)]


@pytest_asyncio.fixture
async def three(running: list[Replica]) -> list[Replica]:
    """They, once the clients of earlier tests are gone: polling ones by their heartbeats."""
    await until(lambda: sockets(running) == [0, 0, 0], what="the sockets of earlier tests to go")
    return running


@pytest.fixture(scope="module")
def beating(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Replica:
    """A replica whose heartbeats come a little more often than the proxies' shortened timeouts."""
    return shared_replicas(shared_redis_server.url, GATEWAY_PING_INTERVAL_S="0.6", GATEWAY_PING_TIMEOUT_S="0.3")


def ports(replicas: Sequence[Replica]) -> list[int]:
    return [replica.port for replica in replicas]


def sockets(replicas: Sequence[Replica]) -> list[int]:
    """Count the sockets of each replica, the fullest first."""
    return sorted((replica.health()["sockets"] for replica in replicas), reverse=True)


async def patiently(connect: Callable[[], Awaitable[RawClient]]) -> RawClient:
    """Connect as a browser does, which tries again when the proxy has found out what is up."""

    async def attempt() -> RawClient | None:
        try:
            return await connect()
        except HandshakeRefused:
            return None

    found = await until(attempt, what="a connection")
    assert found is not None
    return found


def test_the_configuration_is_valid(make_proxy: Callable[..., Proxy]) -> None:
    status, output = make_proxy([8080]).check()
    assert status == 0, output


@both_transports
async def test_an_event_arrives(
    shared_redis_server: EmbeddedRedis,
    three: list[Replica],
    proxies: Proxies,
    clients: Clients,
    publishers: Publishers,
    transport: str,
) -> None:
    proxy = proxies(ports(three))
    organization, conversation = new_id(), new_id()
    client = await clients(proxy.url, mint(organization_id=organization), transport=transport).connect()
    await client.join(conversation)
    message = {"id": new_id(), "conversation_id": conversation}
    await publishers(shared_redis_server.url).acall("message_new", organization, message)
    assert (await client.wait_for("message:new")).data["id"] == message["id"]


async def test_polling_stays_on_one_replica(three: list[Replica], proxies: Proxies, clients: Clients) -> None:
    proxy = proxies(ports(three))
    browsers = [clients(proxy.url, mint(), transport="polling") for _ in range(4)]
    for browser in browsers:
        await browser.connect()
        for _ in range(5):
            await browser.join(new_id())
    assert sockets(three) == [4, 0, 0]
    assert all(browser.connected for browser in browsers)


async def test_polling_clients_of_many_addresses_use_all_replicas(upstreams: Upstreams, proxies: Proxies) -> None:
    gateways = [await upstreams(200) for _ in range(3)]
    proxy = proxies([gateway.port for gateway in gateways])
    for number in range(1, 31):
        for _ in range(2):
            await asyncio.to_thread(ask, proxy.url + POLLING, source=f"127.0.0.{number}")
    counts = [Counter(request.headers["X-Forwarded-For"] for request in gateway.requests) for gateway in gateways]
    assert all(counts), "a replica that nobody polls"
    assert sum(len(count) for count in counts) == 30, "an address that polls two replicas"


async def test_websockets_of_one_address_spread_over_the_replicas(
    three: list[Replica], proxies: Proxies, clients: Clients
) -> None:
    proxy = proxies(ports(three))
    for _ in range(12):
        await clients(proxy.url, mint()).connect()
    # Traefik looks at two of the replicas only.
    assert min(sockets(three)) >= 2


async def test_an_upgrade_reaches_the_replica_of_its_polls(three: list[Replica], proxies: Proxies) -> None:
    proxy = proxies(ports(three))
    async with aiohttp.ClientSession(proxy.url) as http:
        for _ in range(6):
            poller = Poller(http, BASE)
            await poller.open()
            async with http.ws_connect(f"{WEBSOCKET}&sid={poller.sid}") as websocket:
                await websocket.send_str("2probe")
                assert await websocket.receive_str() == "3probe"
                await websocket.send_str("5")


async def test_an_idle_websocket_outlives_the_proxys_timeouts_by_its_heartbeats(
    beating: Replica, proxies: Proxies, proxy_kind: type[Proxy]
) -> None:
    proxy = proxies([beating.port], proxy_kind.short)
    async with aiohttp.ClientSession(proxy.url) as http, http.ws_connect(WEBSOCKET) as websocket:
        await websocket.receive_str()
        await websocket.send_str("40" + json.dumps({"token": mint()}))
        pings = 0
        while pings < 4:
            if await websocket.receive_str() == "2":
                pings += 1
                await websocket.send_str("3")
        assert not websocket.closed


async def test_an_idle_poll_outlives_the_proxys_timeouts_by_its_heartbeats(
    beating: Replica, proxies: Proxies, proxy_kind: type[Proxy]
) -> None:
    proxy = proxies([beating.port], proxy_kind.short)
    async with aiohttp.ClientSession(proxy.url) as http:
        poller = Poller(http, BASE)
        await poller.open()
        assert (await poller.post("40" + json.dumps({"token": mint()})))[0] == 200
        pings = 0
        while pings < 4:
            status, body = await poller.poll()
            assert status == 200
            if body.endswith("2"):
                pings += 1
                assert (await poller.post("3"))[0] == 200


async def test_the_clients_address_reaches_the_replica_and_a_forged_one_does_not(
    upstreams: Upstreams, proxies: Proxies
) -> None:
    gateway = await upstreams(200)
    proxy = proxies([gateway.port])
    forged = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https"}
    await asyncio.to_thread(ask, proxy.url + POLLING, source="127.0.0.5", headers=forged)
    (request,) = gateway.requests
    assert request.headers.getall("X-Forwarded-For") == ["127.0.0.5"]
    assert request.headers["X-Forwarded-Proto"] == "http"
    assert "evil.test" not in request.headers.values()


@both_transports
async def test_the_replicas_log_names_the_client_behind_the_proxy(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies, transport: str
) -> None:
    gateway = replicas(redis_server.url, **BEHIND)
    proxy = proxies([gateway.port])
    forged = {"X-Forwarded-For": "9.9.9.9"}
    auth = "40" + json.dumps({"token": "nonsense"})
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.5", 0))
    async with aiohttp.ClientSession(proxy.url, connector=connector, headers=forged) as http:
        if transport == "websocket":
            async with http.ws_connect(WEBSOCKET) as websocket:
                await websocket.send_str(auth)
                await until(lambda: gateway.log_lines("socket_refused"))
        else:
            poller = Poller(http, BASE)
            await poller.open()
            await poller.post(auth)
            await until(lambda: gateway.log_lines("socket_refused"))
    (line,) = gateway.log_lines("socket_refused")
    assert line["remote"] == "127.0.0.5"


@both_transports
async def test_a_drained_replica_is_passed_over(
    three: list[Replica], upstreams: Upstreams, proxies: Proxies, clients: Clients, transport: str
) -> None:
    draining = [await upstreams(503, ready=False) for _ in range(2)]
    proxy = proxies([draining[0].port, three[0].port, draining[1].port])
    for _ in range(6):
        await clients(proxy.url, mint(), transport=transport).connect()
    assert sockets(three) == [6, 0, 0]


async def test_a_replica_that_has_just_begun_to_drain_is_passed_over(
    three: list[Replica], upstreams: Upstreams, proxies: Proxies, clients: Clients
) -> None:
    # No health check has seen it when the first client comes.
    draining = await upstreams(503)
    proxy = proxies([draining.port, three[0].port])
    for _ in range(6):
        await clients(proxy.url, mint()).connect()
    assert sockets(three) == [6, 0, 0]
    assert draining.requests


async def test_a_refusal_of_all_replicas_reaches_the_client(upstreams: Upstreams, proxies: Proxies) -> None:
    proxy = proxies([(await upstreams(503, ready=False)).port])
    assert (await asyncio.to_thread(ask, proxy.url + POLLING))[0] == 503


async def test_only_socket_io_is_public(upstreams: Upstreams, proxies: Proxies) -> None:
    gateway = await upstreams(200)
    proxy = proxies([gateway.port])
    inside = ("/", "/health", "/health/ready", "/metrics", "/api/v1/events", "/console", "/asyncapi.json")
    around = ("/socket.io/../health", "/socket.io/%2e%2e/health", "//health")
    for path in (*inside, *around):
        assert (await asyncio.to_thread(ask, proxy.url + path))[0] in (400, 404), path
    assert not gateway.requests


async def test_no_session_is_in_the_log(upstreams: Upstreams, proxies: Proxies) -> None:
    proxy = proxies([(await upstreams(502)).port])
    for _ in range(4):
        await asyncio.to_thread(ask, f"{proxy.url}{POLLING}&sid=confidential")
    await until(lambda: " 502 " in proxy.access_log(), what="a line for what went wrong")
    assert "confidential" not in proxy.access_log() + proxy.error_log()


async def test_a_payload_that_is_too_large_is_refused_by_the_gateway_itself(
    three: list[Replica], proxies: Proxies
) -> None:
    proxy = proxies(ports(three))
    opened = (await asyncio.to_thread(ask, proxy.url + POLLING))[1]
    url = f"{proxy.url}{POLLING}&sid={json.loads(opened[1:])['sid']}"
    status, body = await asyncio.to_thread(ask, url, method="POST", body=b"4" + b"x" * 1_500_000)
    assert (status, json.loads(body)["message"]) == (413, "Payload too large")


async def test_tls_ends_at_the_proxy_once_its_comment_signs_are_gone(
    three: list[Replica],
    make_proxy: Callable[..., Proxy],
    proxy_kind: type[Proxy],
    tmp_path: Path,
    clients: Clients,
) -> None:
    authority = Authority(tmp_path)
    proxy = make_proxy(ports(three), proxy_kind.tls_on())
    proxy.place_certificate(*authority.issue("browsers"))
    try:
        proxy.start()
        for transport in ("websocket", "polling"):
            tls = authority.client_context()
            client = clients(proxy.tls_url, mint(), transport=transport, tls=tls)
            await client.connect()
            await client.join(new_id())
    finally:
        proxy.stop()


async def test_replicas_that_were_all_down_get_clients_when_they_are_back(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies, clients: Clients
) -> None:
    gateways = [replicas(redis_server.url) for _ in range(2)]
    proxy = proxies(ports(gateways))
    for gateway in gateways:
        gateway.kill()
    with pytest.raises(HandshakeRefused, match=r"50[23]"):
        await clients(proxy.url, mint()).connect()
    for gateway in gateways:
        await gateway.restarted()
    await patiently(lambda: clients(proxy.url, mint()).connect())

    async def both_have_some() -> bool:
        await clients(proxy.url, mint()).connect()
        return min(sockets(gateways)) >= 1

    await until(both_have_some, what="both replicas to get clients")


# `test_rolling.py` has the other proxies, with clients of both transports at once.
@pytest.mark.parametrize(
    ("proxy_kind", "transport"),
    [(Nginx, "polling"), (Traefik, "websocket")],
    ids=["nginx-polling", "traefik-websocket"],
)
async def test_a_rolling_restart_behind_the_proxy_misses_nothing(
    redis_server: EmbeddedRedis,
    replicas: Replicas,
    proxies: Proxies,
    clients: Clients,
    publishers: Publishers,
    transport: str,
) -> None:
    gateways = [replicas(redis_server.url) for _ in range(3)]
    proxy = proxies(ports(gateways))
    organization, conversation = new_id(), new_id()
    browsers = [clients(proxy.url, mint(organization_id=organization), transport=transport) for _ in range(6)]
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
        assert [event.data["id"] for event in browser.named("message:new")] == published
    assert any(browser.recoveries for browser in browsers)
    assert all(all(browser.recoveries) for browser in browsers)


async def _restart_all(gateways: Sequence[Replica]) -> None:
    for gateway in gateways:
        gateway.terminate()
        assert await gateway.ended() == 0
        await gateway.restarted()


@only(Nginx, Traefik)
async def test_a_polling_client_whose_replica_drains_connects_while_it_does(
    redis_server: EmbeddedRedis, replicas: Replicas, proxies: Proxies, clients: Clients
) -> None:
    gateways = [replicas(redis_server.url, GATEWAY_SHUTDOWN_GRACE_S="10") for _ in range(2)]
    proxy = proxies(ports(gateways))
    # Enough of them, in all, that the drain takes its time.
    await clients(proxy.url, mint(), transport="polling").connect()
    (draining,) = [gateway for gateway in gateways if gateway.health()["sockets"]]
    for _ in range(500):
        await clients(draining.url, mint()).connect()
    draining.terminate()
    await until(lambda: draining.get("/health/ready")[0] == 503)
    for _ in range(3):
        fresh = await patiently(clients(proxy.url, mint(), transport="polling").connect)
        await fresh.join(new_id())
        assert draining.is_running
