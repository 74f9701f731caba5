"""`gateway check`: whether those who have to answer a gateway do."""

from __future__ import annotations

import socket

import pytest

from gateway.cli import asking
from gateway.cli.safety import Finding
from gateway.dev.embedded_redis import free_port
from gateway.settings import load
from tests.auth.issuer import SigningKey
from tests.support.web import Answer, WebServer

JWKS = {"JWT_ALGORITHM": "ES256"}


pytestmark = pytest.mark.usefixtures("unconfigured")


async def found(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[Finding]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return await asking.find(load())


async def test_nobody_is_asked_where_nobody_has_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await found(monkeypatch) == []


async def test_keys_that_are_there_are_counted(monkeypatch: pytest.MonkeyPatch, web_server: WebServer) -> None:
    web_server.answer = lambda asked: Answer({"keys": [SigningKey().jwk(), SigningKey("RS256").jwk()]})
    (finding,) = await found(monkeypatch, **JWKS, GATEWAY_JWKS_URL=web_server.url)
    assert finding == ("ok", "GATEWAY_JWKS_URL answers; keys for ES256: 1")
    assert len(web_server.asked) == 1


async def test_keys_that_do_not_come_are_a_warning(monkeypatch: pytest.MonkeyPatch, web_server: WebServer) -> None:
    web_server.answer = lambda asked: Answer({}, 404)
    (finding,) = await found(monkeypatch, **JWKS, GATEWAY_JWKS_URL=web_server.url)
    assert finding == ("warn", "the keys of GATEWAY_JWKS_URL can't be fetched: the answer has status 404, not 200")


async def test_a_backend_that_is_there_is_knocked_at_and_asked_nothing(
    monkeypatch: pytest.MonkeyPatch, web_server: WebServer
) -> None:
    (finding,) = await found(monkeypatch, GATEWAY_AUTHORIZE_URL=web_server.url)
    assert finding == ("ok", "GATEWAY_AUTHORIZE_URL accepts connections")
    assert web_server.asked == []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_backend_that_is_away_is_a_warning(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{free_port()}/may-join"
    (finding,) = await found(monkeypatch, GATEWAY_AUTHORIZE_URL=url)
    assert finding.level == "warn"
    assert finding.text.startswith("GATEWAY_AUTHORIZE_URL does not answer: ")


async def test_a_backend_that_speaks_no_tls_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}/"
        (finding,) = await found(monkeypatch, GATEWAY_AUTHORIZE_URL=url, GATEWAY_AUTHORIZE_TIMEOUT_S="0.2")
    assert finding == ("warn", "GATEWAY_AUTHORIZE_URL does not answer: TimeoutError")
