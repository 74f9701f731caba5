"""Tokens that open nothing, or not for ever."""

from __future__ import annotations

import asyncio
import json
import time

from gateway.engine.errors import CloseCode
from gateway.engine.reader import CLOSE
from publisher import organization
from tests.auth.test_tokens import ODD, signed, usual
from tests.hostile.attacker import connect, connecting, end_of, opening, until_closed
from tests.hostile.cases import Stage, case
from tests.support.client import RawClient, Refused
from tests.support.tokens import mint, new_id
from tests.support.waiting import SLACK_S
from tests.support.websocket import Peer

CODES = {"token_missing", "token_invalid", "token_expired", "tenant_missing"}


@case("odd tokens: claims of the wrong type, other algorithms, no exp, refresh tokens …", row="18",
      plain="5 of 52 accepted", log_kib=200)  # fmt: skip
async def odd_tokens(stage: Stage) -> None:
    sent = [token for token, _ in ODD.values() if _is_json(token)]
    for token in sent:
        async with opening(stage.port) as peer:
            peer.send("40" + json.dumps({"token": token}))
            refusal = await _refusal(peer)
            assert refusal in CODES | {"closed"}, f"{token!r:.80} opened a socket: {refusal}"
    stage.closed = f"0 of {len(sent)} accepted, each refused with a code"


async def _refusal(peer: Peer) -> str:
    """Return the code, or "closed" for what is no JSON, as a text with half a surrogate pair is none."""
    first, payload = await peer.frame()
    if first & 0x0F == CLOSE:
        return "closed"
    return str(json.loads(payload[2:])["data"]["code"] if payload.startswith(b"44") else payload)


def _is_json(token: object) -> bool:
    try:
        json.dumps(token).encode()
    except (TypeError, ValueError):
        return False
    return True


@case("tokens of 800 KB, well signed, 200 of them", plain="38 ms of the loop each", log_kib=60)
async def huge_tokens(stage: Stage) -> None:
    count = stage.times(200, 20)
    huge = "40" + json.dumps({"token": signed(usual(filler="x" * 590_000))})
    assert len(huge) > 780_000
    for _ in range(count):
        assert (await end_of(opening(stage.port), huge)).code == CloseCode.TOO_BIG
    # Small enough for a message of a stranger, too large for a token.
    async with opening(stage.port) as peer:
        peer.send("40" + json.dumps({"token": signed(usual(filler="x" * 8_000))}))
        assert await _refusal(peer) == "token_invalid"
    stage.closed = f"{count} of {count} closed by their header, 1009; from 8 KiB on `token_invalid`"


@case("a socket whose token ended", row="18", plain="events without end")
async def expired_while_connected(stage: Stage) -> None:
    tenant = new_id()
    async with stage.backend() as publisher, opening(stage.port) as peer:
        ends_at = time.time() + 4
        await connect(peer, mint(organization_id=tenant, exp=ends_at))
        closing = asyncio.ensure_future(until_closed(peer))
        while not closing.done():
            await publisher.emit(tenant, "after", {"at": time.time()}, to=organization(tenant))
            await asyncio.wait((closing,), timeout=0.02)
        end = await closing
        late_s = time.time() - ends_at
    assert any('"after"' in packet for packet in end.first)
    assert any('"auth:expiring"' in packet for packet in end.first)
    assert not any('"disconnect"' in packet or packet == "41" for packet in end.first)
    stage.closed = f"closed {late_s * 1000:.0f} ms after its end, {end.code}; before it `auth:expiring`"
    assert 0 <= late_s < SLACK_S


@case("a refresh with a token of somebody else, of another tenant, of another kind")
async def stolen_refresh(stage: Stage) -> None:
    user, tenant = new_id(), new_id()
    others = {
        mint(new_id(), tenant): "forbidden",
        mint(user, new_id()): "forbidden",
        mint(user, tenant, type="refresh"): "token_invalid",
        mint(user, tenant, ttl_s=-5): "token_expired",
        mint(user, tenant, secret="x" * 64): "token_invalid",
    }
    async with stage.client(mint(user, tenant)) as client:
        for token, code in others.items():
            refusal = await client.call("auth:refresh", {"token": token})
            assert refusal["error"]["code"] == code
        assert (await client.call("auth:refresh", {"token": mint(user, tenant)}))["ok"]
        assert client.connected
    stage.closed = f"{len(others)} of {len(others)} refused; the socket stays who it is"


@case("a token in the query string, in a cookie, in the body of a poll")
async def tokens_elsewhere(stage: Stage) -> None:
    token = mint()
    for headers, query in (({}, f"token={token}"), ({"Cookie": f"token={token}"}, ""), ({"X-Token": token}, "")):
        client = RawClient(stage.arena.replica.url, None, headers=headers, query=query)
        try:
            await client.connect()
            raise AssertionError("let in")
        except Refused as refused:
            assert refused.code == "token_missing"  # noqa: PT017
        finally:
            await client.close()
    async with connecting(stage.port) as peer:
        assert peer.status == 101
    stage.closed = "`token_missing`, three times"
