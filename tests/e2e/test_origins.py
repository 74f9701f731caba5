"""Which pages may connect: the allow-list holds for websocket and polling alike."""

from __future__ import annotations

import http.client

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.support.browsers import VERSIONS, Browsers, Version
from tests.support.client import Clients, Transport
from tests.support.replica import Replica, Replicas
from tests.support.tenant import Tenant
from tests.support.waiting import PATIENCE_S
from tests.support.websocket import HandshakeRefused

ALLOWED = ["https://app.pytake.example", "http://localhost:3000"]
FOREIGN = [
    "https://evil.example",
    "http://app.pytake.example",
    "https://app.pytake.example:8443",
    "https://app.pytake.example.evil.example",
    "https://evil-app.pytake.example",
    "https://app.pytake.example@evil.example",
    "https://pytake.example",
    "http://localhost",
    "null",
    "*",
    "",
]
BOTH: list[Transport] = ["websocket", "polling"]


@pytest.fixture(scope="module")
def listed(stage_redis: EmbeddedRedis, shared_replicas: Replicas) -> Replica:
    """A replica with an allow-list."""
    return shared_replicas(stage_redis.url, GATEWAY_CORS_ORIGINS=", ".join(ALLOWED))


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("origin", ALLOWED)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_listed_origin_connects(
    browsers: Browsers, listed: Replica, tenant: Tenant, version: Version, origin: str, transport: str
) -> None:
    chosen = {"version": version, "transports": [transport], "headers": {"Origin": origin}}
    browsers(listed.url, tenant.token(), **chosen).connected()


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("origin", FOREIGN)
async def test_another_origin_is_refused(
    clients: Clients, listed: Replica, tenant: Tenant, origin: str, transport: Transport
) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        await clients(listed.url, tenant.token(), transport=transport, headers={"Origin": origin}).connect()
    assert refused.value.status == 403


@pytest.mark.parametrize("transport", BOTH)
async def test_forwarded_headers_do_not_make_an_origin_ones_own(
    clients: Clients, listed: Replica, tenant: Tenant, transport: Transport
) -> None:
    host = "evil.example"
    forged = {"Origin": f"https://{host}", "Host": host, "X-Forwarded-Host": host, "X-Forwarded-Proto": "https"}
    with pytest.raises(HandshakeRefused) as refused:
        await clients(listed.url, tenant.token(), transport=transport, headers=forged).connect()
    assert refused.value.status == 403


@pytest.mark.parametrize("transport", BOTH)
async def test_without_a_list_no_page_connects_but_programs_do(
    clients: Clients, replica: Replica, tenant: Tenant, transport: Transport
) -> None:
    headers = {"Origin": replica.url}
    with pytest.raises(HandshakeRefused):
        await clients(replica.url, tenant.token(), transport=transport, headers=headers).connect()
    await clients(replica.url, tenant.token(), transport=transport).connect()


def _ask(replica: Replica, method: str, origin: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", replica.port, timeout=PATIENCE_S)
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    try:
        connection.request(method, "/socket.io/?EIO=4&transport=polling", headers=headers)
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
def test_only_a_listed_origin_may_read_the_answer(listed: Replica, method: str) -> None:
    ours, foreign = _ask(listed, method, ALLOWED[0]), _ask(listed, method, FOREIGN[0])
    assert ours.status in (200, 204)
    assert ours.getheader("Access-Control-Allow-Origin") == ALLOWED[0]
    assert ours.getheader("Vary") == "Origin"
    assert foreign.status == 403
    assert foreign.getheader("Access-Control-Allow-Origin") is None
