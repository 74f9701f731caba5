"""Tokens at running gateways: keys that change under way, or can't be had, and tokens that are refreshed."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.auth.issuer import SigningKey, document, files, known, usual
from tests.metrics.page import page_of
from tests.support.client import Clients, RawClient, Refused
from tests.support.command_line import gateway
from tests.support.replica import Replicas
from tests.support.tokens import SECRET, mint, new_id
from tests.support.waiting import until
from tests.support.web import Answer, Beside, WebServer

USER, ORG = new_id(), new_id()
CLAIMS = usual(USER, ORG)
NO_SECRET = {"JWT_SECRET_KEY": "", "JWT_ALGORITHM": "ES256"}


@pytest.fixture
def serve(redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer) -> Beside:
    """Start a replica that fetches its keys from the web server, which gives a known one at first."""
    publish(web_server, known("ES256"))
    return partial(replicas_beside, redis_server.url, GATEWAY_JWKS_URL=web_server.url, **NO_SECRET)


def publish(server: WebServer, *keys: SigningKey) -> None:
    server.answer = lambda asked: Answer(document(*keys))


async def refusal(client: RawClient) -> Any:
    with pytest.raises(Refused) as caught:
        await client.connect()
    return caught.value.code


# -- a JWKS URL


async def test_a_key_that_appears_while_it_runs_is_fetched_when_somebody_comes_with_it(
    clients: Clients, serve: Beside, web_server: WebServer
) -> None:
    new = SigningKey("ES256", "new")
    replica = await serve()
    await clients(replica.url, known("ES256").sign(CLAIMS)).connect()
    publish(web_server, new)
    await clients(replica.url, new.sign(CLAIMS)).connect()
    assert await refusal(clients(replica.url, known("ES256").sign(CLAIMS))) == "token_invalid"
    fetched = replica.log_lines("token_keys_fetched")
    assert [(line["keys"], line["unusable"]) for line in fetched] == [(1, 0), (1, 0)]


async def test_forged_tokens_neither_hammer_the_url_nor_keep_others_out(
    clients: Clients, serve: Beside, web_server: WebServer
) -> None:
    replica = await serve()
    began = time.monotonic()
    forged = [known("ES256").sign(CLAIMS, kid=f"made up {i}") for i in range(100)]
    storm = asyncio.gather(*(refusal(clients(replica.url, token)) for token in forged))
    await clients(replica.url, known("ES256").sign(CLAIMS)).connect()
    assert set(await storm) == {"token_invalid"}
    assert len(web_server.asked) <= 2 + (time.monotonic() - began) / 3


async def test_without_keys_it_starts_is_not_ready_and_sends_clients_to_come_back(
    clients: Clients, serve: Beside, web_server: WebServer
) -> None:
    await web_server.stop()
    replica = await serve(ready=False)
    assert replica.get("/health/ready")[0] == 503
    assert "the keys of tokens can't be fetched" in replica.health()["findings"]
    client = clients(replica.url, known("ES256").sign(CLAIMS))
    with pytest.raises(ConnectionResetError):
        await client.connect()
    client.stay()
    await web_server.start()
    await client.wait_for("connected")
    assert replica.get("/health/ready")[0] == 200
    assert [line["keys"] for line in replica.log_lines("jwks_unavailable")] == [0]
    assert page_of(replica)("gateway_token_keys") == 1
    assert page_of(replica)("gateway_token_keys_fetches_total", outcome="failed") >= 1


async def test_with_old_keys_it_goes_on(clients: Clients, serve: Beside, web_server: WebServer) -> None:
    replica = await serve(GATEWAY_JWKS_CACHE_S="1")
    await web_server.stop()
    await until(lambda: replica.log_lines("jwks_unavailable"), what="the URL to be missed")
    await clients(replica.url, known("ES256").sign(CLAIMS)).connect()
    assert replica.get("/health/ready")[0] == 200
    assert page_of(replica)("gateway_token_keys_age_seconds") > 0


# -- PEM files and secrets


async def test_files_with_public_keys(clients: Clients, new_replica: Replicas, tmp_path: Path) -> None:
    old, new = SigningKey("EdDSA"), SigningKey("EdDSA")
    names = files(tmp_path, old, new)
    replica = new_replica(JWT_SECRET_KEY="", JWT_ALGORITHM="EdDSA", GATEWAY_JWT_PUBLIC_KEY_FILES=names)
    for key in (old, new):
        await clients(replica.url, key.sign(CLAIMS)).connect()
    for token in (SigningKey("EdDSA").sign(CLAIMS), mint(USER, ORG)):
        assert await refusal(clients(replica.url, token)) == "token_invalid"


def test_a_file_without_a_key_is_one_line_and_status_2(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(known("ES256").private_pem())
    key: Any = {"REDIS_URL": redis_server.url, "JWT_ALGORITHM": "ES256", "GATEWAY_JWT_PUBLIC_KEY_FILES": str(path)}
    done = gateway("serve", **key)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "holds no public key in PEM form" in done.stderr
    checked = gateway("check", **key)
    assert checked.returncode == 2
    assert "holds no public key in PEM form" in checked.stdout + checked.stderr


async def test_a_secret_is_replaced_without_turning_anybody_away(clients: Clients, new_replica: Replicas) -> None:
    new = "new-" + SECRET
    before = new_replica()
    after = new_replica(JWT_SECRET_KEY=new, GATEWAY_JWT_PREVIOUS_SECRET_KEYS=SECRET)
    client = await clients(before.url, mint(USER, ORG)).connect()
    await client.wait_for("connected")
    client.drop()
    await client.reconnect(after.url)
    assert client.recovered
    await clients(after.url, mint(USER, ORG, secret=new)).connect()


async def test_audience_issuer_leeway_and_lifetime_are_looked_at(clients: Clients, new_replica: Replicas) -> None:
    claims_wanted = {"GATEWAY_JWT_AUDIENCE": "gateway", "GATEWAY_JWT_ISSUER": "pytake"}
    replica = new_replica(**claims_wanted, GATEWAY_JWT_LEEWAY_S="30", GATEWAY_TOKEN_MAX_LIFETIME_S="3600")

    def token(*, ttl_s: float = 900, **claims: Any) -> str:
        return mint(USER, ORG, ttl_s=ttl_s, **{"aud": "gateway", "iss": "pytake"} | claims)

    await clients(replica.url, token(aud=["other", "gateway"])).connect()
    await clients(replica.url, token(ttl_s=-10)).connect()
    assert await refusal(clients(replica.url, token(aud="other"))) == "token_invalid"
    assert await refusal(clients(replica.url, token(iss="other"))) == "token_invalid"
    assert await refusal(clients(replica.url, token(ttl_s=-31))) == "token_expired"
    assert await refusal(clients(replica.url, token(ttl_s=4000))) == "token_invalid"


# -- while the socket lives


async def test_a_refresh_may_bring_a_key_that_is_not_known_yet(
    clients: Clients, serve: Beside, web_server: WebServer
) -> None:
    new = SigningKey("ES256", "new")
    replica = await serve()
    client = await clients(replica.url, known("ES256").sign(CLAIMS)).connect()
    publish(web_server, known("ES256"), new)
    answer = await client.call("auth:refresh", {"token": new.sign(usual(USER, ORG))})
    assert answer["ok"], answer
    answer = await client.call("auth:refresh", {"token": new.sign(usual(new_id(), ORG))})
    assert answer["error"]["code"] == "forbidden"
    await web_server.stop()
    unknown = known("ES256").sign(CLAIMS, kid="newer")
    answers = [await client.call("auth:refresh", {"token": unknown}) for _ in range(2)]
    assert [answer["error"]["code"] for answer in answers] == ["unavailable", "unavailable"]
    assert client.connected


async def test_a_socket_lives_as_long_as_its_token_would_be_let_in(
    clients: Clients, new_replica: Replicas
) -> None:
    replica = new_replica(GATEWAY_JWT_LEEWAY_S="3")
    client = await clients(replica.url, mint(USER, ORG, exp=time.time() - 1.0)).connect()
    await client.wait_for("auth:expiring")
    await client.join(new_id())
    assert await client.dropped() == "transport close"
    assert await refusal(clients(replica.url, mint(USER, ORG, exp=time.time() - 4.0))) == "token_expired"


async def test_a_token_that_ends_no_later_is_warned_of_again_but_not_in_a_circle(
    clients: Clients, new_replica: Replicas
) -> None:
    replica = new_replica()
    token = mint(USER, ORG, ttl_s=8)
    client = await clients(replica.url, token).connect()
    await client.wait_for("auth:expiring")
    for _ in range(3):
        assert (await client.call("auth:refresh", {"token": token}))["ok"]
    # When half of the time is over.
    await client.wait_for("auth:expiring", count=2)
    assert await client.dropped() == "transport close"
    assert len([event for event in client.events if event.name == "auth:expiring"]) == 2


async def test_a_fresh_token_that_is_short_lived_is_warned_of_halfway(
    clients: Clients, new_replica: Replicas
) -> None:
    client = await clients(new_replica().url, mint(USER, ORG, ttl_s=2)).connect()
    await client.wait_for("auth:expiring")
    fresh = mint(USER, ORG, ttl_s=4)
    began = time.monotonic()
    assert (await client.call("auth:refresh", {"token": fresh}))["ok"]
    await client.wait_for("auth:expiring", count=2)
    assert time.monotonic() - began > 1.0
    assert client.connected
