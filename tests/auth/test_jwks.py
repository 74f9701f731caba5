"""Fetching keys from a JWKS URL: how often, what for, and what happens while it does not answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.auth import Tokens
from gateway.auth.jwks import MAX_BYTES, Jwks
from gateway.errors import Refused, Unavailable
from gateway.settings import load
from tests.auth.issuer import SigningKey, document, known, usual
from tests.support.tokens import new_id
from tests.support.waiting import until
from tests.support.web import Answer, WebServer

USER, ORG = new_id(), new_id()
CLAIMS = usual(USER, ORG)
# So that a test which waits for the next request does not wait long, and one that counts them counts one.
SHORT_S, LONG_S = 0.05, 60.0


def publish(server: WebServer, *keys: SigningKey) -> None:
    server.answer = lambda asked: Answer(document(*keys))


@pytest.fixture(autouse=True)
def _known_key(web_server: WebServer) -> None:
    """Have the server publish a known key, until a test has it publish others."""
    publish(web_server, known("ES256"))


@contextlib.asynccontextmanager
async def fetching(
    server: WebServer, *, cache_s: float = LONG_S, rest_s: float = SHORT_S, timeout_s: float = 5.0
) -> AsyncIterator[Jwks]:
    jwks = Jwks(server.url, "ES256", cache_s=cache_s, rest_s=rest_s, timeout_s=timeout_s)
    await jwks.start()
    try:
        yield jwks
    finally:
        await jwks.stop()


def verifying(jwks: Jwks) -> Tokens:
    return Tokens(load(jwt_algorithm="ES256", jwks_url="http://127.0.0.1:1/"), jwks)


async def outcome(tokens: Tokens, token: str) -> str:
    try:
        return (await tokens.identify(token)).user_id
    except Refused as refused:
        return refused.code
    except Unavailable:
        return "unavailable"


# -- asking


async def test_the_first_token_waits_for_the_first_answer(web_server: WebServer) -> None:
    async with fetching(web_server) as jwks:
        assert jwks.findings() == ["the keys of tokens can't be fetched"]
        assert await outcome(verifying(jwks), known("ES256").sign(CLAIMS)) == USER
        assert jwks.findings() == []
        assert jwks.size == 1


async def test_keys_are_fetched_again_once_they_are_old(web_server: WebServer) -> None:
    new = SigningKey("ES256", "new")
    async with fetching(web_server, cache_s=0.1) as jwks:
        await web_server.wait_asked(1)
        publish(web_server, new)
        await until(lambda: len(web_server.asked) >= 3)
        tokens = verifying(jwks)
        assert tokens.verify(new.sign(CLAIMS)).user_id == USER
        assert await outcome(tokens, known("ES256").sign(CLAIMS)) == "token_invalid"


async def test_a_key_that_is_not_known_is_asked_for_at_once(web_server: WebServer) -> None:
    new = SigningKey("ES256", "new")
    async with fetching(web_server) as jwks:
        tokens = verifying(jwks)
        assert await outcome(tokens, known("ES256").sign(CLAIMS)) == USER
        publish(web_server, known("ES256"), new)
        assert await outcome(tokens, new.sign(CLAIMS)) == USER
        assert await outcome(tokens, known("ES256").sign(CLAIMS)) == USER
        assert len(web_server.asked) == 2


async def test_a_storm_of_made_up_keys_is_one_request(web_server: WebServer) -> None:
    async with fetching(web_server, rest_s=0.5) as jwks:
        tokens = verifying(jwks)
        assert await outcome(tokens, known("ES256").sign(CLAIMS)) == USER
        forged = [known("ES256").sign(CLAIMS, kid=f"made up {i}") for i in range(300)]
        storm = asyncio.gather(*(outcome(tokens, token) for token in forged))
        assert await outcome(tokens, known("ES256").sign(CLAIMS)) == USER
        assert set(await storm) == {"token_invalid"}
        assert len(web_server.asked) == 2


async def test_a_token_that_no_key_could_save_is_no_reason_to_ask(web_server: WebServer) -> None:
    async with fetching(web_server) as jwks:
        tokens = verifying(jwks)
        assert await outcome(tokens, known("ES256").sign(CLAIMS)) == USER
        odd = [known("RS256").sign(CLAIMS, kid="x"), "x.y.z", "", known("ES256").sign(CLAIMS)[:-9], "x" * 9000]
        outcomes = [await outcome(tokens, token) for token in odd]
        assert outcomes == ["token_invalid"] * 2 + ["token_missing"] + ["token_invalid"] * 2
        assert len(web_server.asked) == 1


async def test_a_key_that_is_withdrawn_is_not_good_any_more(web_server: WebServer) -> None:
    withdrawn, other = SigningKey("ES256", "a"), SigningKey("ES256", "b")
    publish(web_server, withdrawn, other)
    async with fetching(web_server, cache_s=0.1) as jwks:
        tokens = verifying(jwks)
        assert await outcome(tokens, withdrawn.sign(CLAIMS)) == USER
        publish(web_server, other)
        await until(lambda: jwks.size == 1)
        assert await outcome(tokens, withdrawn.sign(CLAIMS)) == "token_invalid"


# -- no answer


async def test_old_keys_serve_while_there_is_no_answer(web_server: WebServer) -> None:
    async with fetching(web_server, cache_s=0.1) as jwks:
        tokens = verifying(jwks)
        assert await outcome(tokens, known("ES256").sign(CLAIMS)) == USER
        with capture_logs() as lines:
            await web_server.stop()
            await until(lambda: jwks.outcomes["failed"] >= 3)
            assert tokens.verify(known("ES256").sign(CLAIMS)).user_id == USER
            assert jwks.findings() == []
            await web_server.start()
            await until(lambda: not jwks.is_away)
        assert [line["event"] for line in lines] == ["jwks_unavailable", "token_keys_fetched"]
        assert "ClientConnectorError" in lines[0]["reason"]


async def test_nobody_is_refused_for_a_key_that_can_not_be_asked_for(web_server: WebServer) -> None:
    new = SigningKey("ES256", "new")
    async with fetching(web_server, cache_s=0.1) as jwks:
        tokens = verifying(jwks)
        await until(lambda: jwks.size == 1)
        await web_server.stop()
        await until(lambda: jwks.is_away)
        assert await outcome(tokens, new.sign(CLAIMS)) == "unavailable"
        publish(web_server, known("ES256"), new)
        await web_server.start()
        await until(lambda: jwks.size == 2)
        assert await outcome(tokens, new.sign(CLAIMS)) == USER


async def test_without_any_keys_everybody_has_to_come_back(web_server: WebServer) -> None:
    await web_server.stop()
    async with fetching(web_server) as jwks:
        tokens = verifying(jwks)
        assert await outcome(tokens, known("ES256").sign(CLAIMS)) == "unavailable"
        assert jwks.findings() == ["the keys of tokens can't be fetched"]
        await web_server.start()
        await until(lambda: not jwks.findings())
        assert await outcome(tokens, known("ES256").sign(CLAIMS)) == USER


async def test_a_url_that_hangs_is_given_up(web_server: WebServer) -> None:
    web_server.hold()
    async with fetching(web_server, timeout_s=0.1) as jwks:
        assert await outcome(verifying(jwks), known("ES256").sign(CLAIMS)) == "unavailable"
        assert jwks.outcomes["failed"] >= 1


async def test_who_waits_when_it_stops_may_come_back(web_server: WebServer) -> None:
    web_server.hold()
    async with fetching(web_server) as jwks:
        first = asyncio.create_task(outcome(verifying(jwks), known("ES256").sign(CLAIMS)))
        await web_server.wait_asked(1)
        second = asyncio.create_task(outcome(verifying(jwks), known("ES256").sign(CLAIMS)))
        await asyncio.sleep(0)
    assert list(await asyncio.gather(first, second)) == ["unavailable", "unavailable"]


# -- answers that are none

GOOD = document(known("ES256"))
BAD: dict[str, tuple[Answer, str]] = {
    "an error": (Answer(GOOD, 500), "status 500"),
    "nothing there": (Answer(GOOD, 404), "status 404"),
    "elsewhere": (Answer(None, 302, {"Location": "/elsewhere"}), "status 302"),
    "a page": (Answer(b"<html>"), "JSONDecodeError"),
    "nothing": (Answer(b""), "JSONDecodeError"),
    "no text": (Answer(b"\xff\xfe\x00"), "UnicodeDecodeError"),
    "nested deep": (Answer(b"[" * 100_000), "RecursionError"),
    "too much": (Answer(GOOD | {"x": "x" * MAX_BYTES}), f"more than {MAX_BYTES} bytes"),
    "compressed": (Answer(b"\x1f\x8b", 200, {"Content-Encoding": "gzip"}), "compressed"),
    "a list": (Answer([GOOD]), "no key for ES256 (0 other keys)"),
    "no keys": (Answer({"keys": []}), "no key for ES256 (0 other keys)"),
    "no key of ours": (Answer(document(known("RS256"), known("EdDSA"))), "no key for ES256 (2 other keys)"),
}


@pytest.mark.parametrize(("answer", "reason"), BAD.values(), ids=BAD)
async def test_an_answer_without_keys_leaves_those_that_there_are(
    web_server: WebServer, answer: Answer, reason: str
) -> None:
    async with fetching(web_server, cache_s=0.1) as jwks:
        await until(lambda: jwks.size == 1)
        with capture_logs() as lines:
            web_server.answer = lambda asked: answer
            await until(lambda: jwks.outcomes["failed"] >= 2)
        assert verifying(jwks).verify(known("ES256").sign(CLAIMS)).user_id == USER
        assert [line["event"] for line in lines] == ["jwks_unavailable"]
        assert reason in lines[0]["reason"]
        assert lines[0]["keys"] == 1


async def test_it_asks_for_json_that_is_as_large_as_it_is(web_server: WebServer) -> None:
    async with fetching(web_server):
        headers: Any = (await web_server.wait_asked(1)).headers
        assert (headers["Accept"], headers["Accept-Encoding"]) == ("application/json", "identity")
        assert "Authorization" not in headers
