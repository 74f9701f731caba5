"""Tokens from the console: only where somebody has said so, and only where there is a secret to sign with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.auth.issuer import SigningKey, files
from tests.console.conftest import MINTING, Reader
from tests.support.client import Clients
from tests.support.replica import Replica, Replicas
from tests.support.tokens import SECRET, new_id


async def test_a_minted_token_connects_as_whom_it_names(
    reader: Reader, replica: Replica, clients: Clients, org: str
) -> None:
    user = new_id()
    asked = {"user_id": user, "organization_id": org, "role": "admin", "ttl_s": 60}
    minted = (await reader.post(f"{replica.url}/console/api/tokens", asked)).body
    assert minted["claims"] == jwt.decode(minted["token"], SECRET, ["HS256"])
    assert minted["claims"]["role"] == "admin"
    assert minted["claims"]["exp"] - time.time() == pytest.approx(60, abs=5)
    client = await clients(replica.url, minted["token"]).connect()
    assert (await client.wait_for("connected")).data["user_id"] == user


async def test_a_minted_token_is_for_the_audience_and_of_the_issuer_that_are_looked_at(
    reader: Reader, redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients, org: str
) -> None:
    names = {"GATEWAY_JWT_AUDIENCE": "web,app", "GATEWAY_JWT_ISSUER": "pytake", "GATEWAY_TENANT_CLAIM": "org"}
    replica = replicas(redis_server.url, **MINTING, **names)
    asked = {"user_id": "u", "organization_id": org}
    minted = (await reader.post(f"{replica.url}/console/api/tokens", asked)).body
    assert [minted["claims"][name] for name in ("aud", "iss", "org")] == ["web", "pytake", org]
    await clients(replica.url, minted["token"]).connect()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        *(({"organization_id": "x"}, "organization_id"), ({"role": ""}, "role"), ({"admin": True}, "admin")),
        *(({"user_id": user}, "user_id") for user in ("", "a b")),
        *(({"ttl_s": ttl_s}, "ttl_s") for ttl_s in (0, 86_401)),
    ],
)
async def test_what_is_wrong_is_named(
    reader: Reader, replica: Replica, org: str, change: dict[str, Any], field: str
) -> None:
    asked = {"user_id": new_id(), "organization_id": org} | change
    answer = await reader.post(f"{replica.url}/console/api/tokens", asked)
    assert (answer.status, answer.body["errors"][0]["field"]) == (400, field)


async def mints_nothing(reader: Reader, url: str, org: str, reason: str) -> None:
    """Ask for a token, which is refused, and look whether the page is told the reason."""
    answer = await reader.post(f"{url}/console/api/tokens", {"user_id": new_id(), "organization_id": org})
    assert (answer.status, answer.body["code"]) == (403, "forbidden")
    session = (await reader.get(f"{url}/console/api/session")).body
    assert session["minting"] == {"available": False, "reason": reason}


async def test_by_default_a_key_mints_nothing(reader: Reader, own_replica: Replica, org: str) -> None:
    await mints_nothing(reader, own_replica.url, org, "off")


async def test_without_a_secret_nothing_can_be_signed(
    reader: Reader, redis_server: EmbeddedRedis, replicas: Replicas, org: str, tmp_path: Path
) -> None:
    keys = {"JWT_ALGORITHM": "ES256", "GATEWAY_JWT_PUBLIC_KEY_FILES": files(tmp_path, SigningKey("ES256"))}
    replica = replicas(redis_server.url, **MINTING, **keys)
    await mints_nothing(reader, replica.url, org, "public_keys")


async def test_the_longest_lifetime_is_the_gateways_own(
    reader: Reader, redis_server: EmbeddedRedis, replicas: Replicas, org: str
) -> None:
    url = replicas(redis_server.url, **MINTING, GATEWAY_TOKEN_MAX_LIFETIME_S="120").url
    assert (await reader.get(f"{url}/console/api/session")).body["longest_token_s"] == 120
    body = {"user_id": new_id(), "organization_id": org, "ttl_s": 121}
    answer = await reader.post(f"{url}/console/api/tokens", body)
    assert (answer.status, answer.body["errors"][0]["field"]) == (400, "ttl_s")
