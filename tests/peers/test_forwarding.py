"""Requests of a long-polling session, brought to whichever replica."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import cycle

import aiohttp
import pytest_asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.peers.proof import Passed, Proof
from gateway.redis.cluster.commands import commands_of, source_of
from publisher import conversation
from tests.metrics.page import page_of
from tests.peers.conftest import MAX_BODY_BYTES, ORIGIN, Tenant, Trio
from tests.support.polling import Poller
from tests.support.publisher_process import PublisherProcess
from tests.support.waiting import PATIENCE_S, until

POLLING = "/socket.io/?EIO=4&transport=polling"


class Wanderer(Poller):
    """A long-polling client whose every request goes to the next replica."""

    def __init__(self, http: aiohttp.ClientSession, trio: Trio) -> None:
        super().__init__(http, "")
        self._urls = cycle([replica.url for replica in trio])

    @property
    def url(self) -> str:
        return next(self._urls) + POLLING + (f"&sid={self.sid}" if self.session else "")

    async def connect(self, token: str) -> None:
        await self.open()
        assert await self.post("40" + json.dumps({"token": token})) == (200, "ok")

    async def until(self, event: str) -> list[str]:
        """Poll until an event of this name comes; return all packets up to there."""
        return await self.poll_until(f'42["{event}"')


@pytest_asyncio.fixture
async def wanderer(trio: Trio) -> AsyncIterator[Wanderer]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as http:
        yield Wanderer(http, trio)


async def test_a_session_goes_on_whichever_replica_gets_its_requests(
    wanderer: Wanderer, tenant: Tenant, backend: PublisherProcess
) -> None:
    await wanderer.connect(tenant.token())
    await wanderer.until("connected")
    await wanderer.post(f'42["join_conversation",{{"conversation_id":"{tenant.conversation}"}}]')
    await wanderer.until("joined_conversation")
    for number in range(6):
        await backend.acall("emit", tenant.id, "test:event", number, to=conversation(tenant.conversation))
        got = await wanderer.until("test:event")
        assert [packet for packet in got if f'["test:event",{number},' in packet]


async def test_a_session_of_nobody_is_unknown_everywhere(wanderer: Wanderer, trio: Trio) -> None:
    for sid in ("A" * 28, "x" * 20, "../../etc/passwd", "%00" * 9, trio[0].url):
        wanderer.session = {"sid": sid}
        for _ in trio:
            status, body = await wanderer.poll()
            assert (status, json.loads(body)["code"]) == (400, 1)


async def test_what_goes_round_in_circles_ends(
    wanderer: Wanderer, tenant: Tenant, shared_redis_server: EmbeddedRedis
) -> None:
    await wanderer.connect(tenant.token())
    commands = commands_of(source_of(shared_redis_server.url, name="test"))
    await commands.start()
    try:
        proof = Proof(commands)
        await proof.refresh()
    finally:
        await commands.stop()
    # As another process would send it: neither is it the one that holds the session, nor may it ask further.
    ((name, good),) = proof.sign("POST", f"{POLLING}&sid={wanderer.sid}", Passed("203.0.113.7", 2))
    statuses = [(await wanderer.post("6", {name: good}))[0] for _ in range(3)]
    assert sorted(statuses) == [200, 400, 400]
    # As a client makes it up.
    for value in ("2", f"1{good}", good.replace(";2;", ";3;"), "9" * 400):
        assert [(await wanderer.post("6", {name: value}))[0] for _ in range(3)] == [200, 200, 200]


async def test_an_answer_of_another_replica_is_readable_by_the_page_that_asked(
    wanderer: Wanderer, trio: Trio, tenant: Tenant
) -> None:
    async with aiohttp.ClientSession(headers={"Origin": ORIGIN}) as http:
        roaming = Wanderer(http, trio)
        await roaming.connect(tenant.token())
        async with http.get(f"{trio[0].url}{POLLING}&sid={roaming.sid}") as here:
            assert here.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert (await roaming.post('420["ping"]'))[0] == 200
        async with http.get(f"{trio[1].url}{POLLING}&sid={roaming.sid}") as there:
            assert there.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert there.headers["Content-Type"].startswith("text/plain")


async def test_a_slow_body_is_passed_on_as_it_comes(wanderer: Wanderer, trio: Trio, tenant: Tenant) -> None:
    await wanderer.connect(tenant.token())
    before = trio[1].memory_kib()

    async def half() -> AsyncIterator[bytes]:
        yield b"4" * (MAX_BODY_BYTES * 9 // 10)
        await asyncio.Event().wait()

    url = f"{trio[1].url}{POLLING}&sid={wanderer.sid}"
    posts = [asyncio.ensure_future(wanderer.http.post(url, data=half())) for _ in range(20)]
    # The session has no use for two bodies at a time, and ends.
    await until(lambda: sum(post.done() for post in posts) >= len(posts) - 1, what="the others to be refused")
    # All together they are 144 MB, of each of which three quarters of a megabyte are under way.
    assert trio[1].memory_kib() - before < 40_000
    for post in posts:
        post.cancel()
    await asyncio.gather(*posts, return_exceptions=True)


async def test_too_large_a_body_is_refused_where_it_arrives(wanderer: Wanderer, tenant: Tenant) -> None:
    await wanderer.connect(tenant.token())
    for _ in range(3):
        assert (await wanderer.post("4" * (MAX_BODY_BYTES + 1)))[0] == 413


async def test_a_poll_whose_way_ends_is_not_to_be_asked_again(
    wanderer: Wanderer, trio: Trio, tenant: Tenant
) -> None:
    await wanderer.connect(tenant.token())
    await wanderer.until("connected")
    way = trio[1]
    before = page_of(way)("gateway_passed_on_total")
    poll = asyncio.ensure_future(wanderer.http.get(f"{way.url}{POLLING}&sid={wanderer.sid}"))
    await until(lambda: page_of(way)("gateway_passed_on_total") > before, what="the poll to be passed on")
    way.terminate()
    try:
        # 503 would have a proxy ask once more: whoever holds the session may have answered already.
        async with await poll as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, 1)
    finally:
        await way.ended()
        await way.restarted()


async def test_the_session_of_a_replica_that_was_killed_is_away_and_then_unknown(
    wanderer: Wanderer, trio: Trio, tenant: Tenant
) -> None:
    await wanderer.connect(tenant.token())
    holder = trio[0]
    holder.kill()
    try:
        async with wanderer.http.get(f"{trio[1].url}{POLLING}&sid={wanderer.sid}") as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"]
    finally:
        await holder.restarted()
