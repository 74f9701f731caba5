"""HTTP connections that are too many or take too long."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_runner import AppRunner
from aiohttp.web_server import Server

from gateway.engine.http_limits import INTERNALS
from tests.engine.line import GET, line
from tests.engine.rig import Rig, digest_of, serve
from tests.support.polling import http_client, polling
from tests.support.waiting import PATIENCE_S, SLACK_S, until
from tests.support.websocket import opened

# As in test_takeover.py: read the changed method, see that http_limits.py still holds, then renew the digest.
DIGESTS = {
    RequestHandler.connection_made: "44d50b5763b2c7e4",
    RequestHandler.data_received: "1ee57ebe052e6c80",
    RequestHandler.force_close: "38d0e1e798e4d3b7",
    RequestHandler._process_keepalive: "b472e0fb8445ce42",
    RequestHandler.handle_error: "94962ffef500c172",
    RequestHandler._make_error_handler: "b73dcf1dd177a243",
    RequestHandler.start: "2e565fd40c8e04fb",
    Server.__init__: "ceb06418afb91a22",
    Server.__call__: "c5700549e688b164",
    Server.connection_made: "c57094db35388e6d",
    Server.connection_lost: "fff3ade6ffe866a8",
    AppRunner._make_server: "2d5358865abd00e3",
}

# Longer than an honest request takes on a busy machine.
QUICK: dict[str, Any] = {"request_timeout_s": 0.5}
LARGE: dict[str, Any] = {
    "http_limits": {"request_timeout_s": 1.5},
    "max_payload_bytes": 8_000_000,
    "max_buffer_bytes": 8_000_000,
}


@pytest.mark.parametrize("name", INTERNALS)
def test_the_internals_are_there(name: str) -> None:
    assert name in RequestHandler.__slots__


@pytest.mark.parametrize("method", DIGESTS, ids=lambda method: method.__qualname__)
def test_the_internals_are_what_they_were(method: Any) -> None:
    assert digest_of(method) == DIGESTS[method], f"{method.__qualname__} of aiohttp changed: see the comment above"


# -- how many


async def test_beyond_the_limit_one_that_waits_makes_room_for_one_that_asks() -> None:
    async with serve(http_limits={"max_connections": 2}) as rig, line(rig.port) as first, line(rig.port) as second:
        for asking in (first, second):
            assert await asking.asks() == 200
        async with line(rig.port) as third:
            assert await first.ended() == b""
            assert await third.asks() == 200
            assert await second.asks() == 200
        assert rig.engine.stats.limited == {"max_http_connections": 1}
        limits = [fields["limit"] for name, fields in rig.notes.logged if name == "connect_limited"]
        assert limits == ["max_http_connections"]


async def test_a_flood_of_connections_that_say_nothing_leaves_room() -> None:
    async with serve(http_limits={"max_connections": 5}) as rig, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(line(rig.port)) for _ in range(50)]
        async with line(rig.port) as asking:
            assert await asking.asks() == 200
        for connection in silent[:40]:
            assert await connection.ended() == b""


async def test_where_all_are_served_the_one_that_comes_is_closed() -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        started.set()
        await release.wait()
        return web.Response()

    limit = {"max_connections": 1}
    async with serve(http_limits=limit, routes=[web.get("/wait", wait)]) as rig, line(rig.port) as served:
        served.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(started.is_set)
        async with line(rig.port) as late:
            assert await late.ended() == b""
        release.set()
        assert (await served.answer())[0] == 200


async def test_websockets_are_not_among_them() -> None:
    async with (
        serve(http_limits={"max_connections": 1}) as rig,
        opened(rig.port) as first,
        opened(rig.port) as second,
    ):
        for peer in (first, second):
            peer.send("4x")
            assert await peer.receive() == "4x"
        assert not rig.engine.stats.limited


# -- time


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with serve(http_limits=QUICK) as rig, line(rig.port) as silent:
        assert await silent.ended() == b""
        assert rig.engine.stats.limited == {"request_timeout_s": 1}


async def test_a_head_that_never_ends_is_answered_and_closed() -> None:
    async with serve(http_limits=QUICK) as rig, line(rig.port) as slow:
        slow.send(GET)
        dripping = asyncio.create_task(slow.drip())
        began = time.monotonic()
        status, body = await slow.answer()
        dripping.cancel()
        assert (status, body["limit"]) == (408, "request_timeout_s")
        assert time.monotonic() - began < SLACK_S
        await slow.ended()


async def test_the_second_request_of_a_connection_has_no_more_time_than_the_first() -> None:
    async with serve(http_limits=QUICK) as rig, line(rig.port) as slow:
        assert await slow.asks() == 200
        slow.send(b"GET /engine.io/")
        assert (await slow.answer())[0] == 408
        await slow.ended()


async def test_between_requests_a_connection_may_be_idle_for_longer() -> None:
    async with (
        serve(http_limits=QUICK | {"idle_timeout_s": 6.0}) as rig,
        line(rig.port) as idle,
        line(rig.port) as silent,
    ):
        assert await idle.asks() == 200
        await silent.ended()
        for _ in range(2):
            async with line(rig.port) as other:
                await other.ended()
        assert await idle.asks() == 200
        assert await idle.ended() == b""


async def test_a_long_poll_may_take_as_long_as_it_likes() -> None:
    async with serve(http_limits=QUICK) as rig, polling(rig.port) as client, line(rig.port) as silent:
        poll = asyncio.create_task(client.poll())
        await silent.ended()
        async with line(rig.port) as other:
            await other.ended()
        rig.socket.send_text("late")
        assert await poll == (200, "4late")


async def test_a_websocket_is_nobodys_request() -> None:
    async with serve(http_limits=QUICK) as rig, opened(rig.port) as peer:
        for _ in range(3):
            async with line(rig.port) as silent:
                await silent.ended()
        peer.send("4still here")
        assert await peer.receive() == "4still here"


async def test_a_head_in_many_small_parts_is_fine() -> None:
    async with serve() as rig, line(rig.port) as slow:
        for at in range(0, len(GET), 3):
            slow.send(GET[at : at + 3])
            await asyncio.sleep(0)
        slow.send(b"\r\n")
        assert (await slow.answer())[0] == 200


async def large_answer(rig: Rig) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for 7 MB with a poll."""
    rig.socket.send_text("x" * 7_000_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
    writer.write(GET.replace(b"polling", f"polling&sid={rig.socket.sid}".encode()) + b"\r\n")
    return reader, writer


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    async with serve(**LARGE) as rig:
        async with http_client() as http, http.get(rig.polling_url):
            pass
        before = len(asyncio.all_tasks())
        reader, writer = await large_answer(rig)
        await until(lambda: rig.engine.stats.limited["request_timeout_s"] == 1)
        await until(lambda: len(asyncio.all_tasks()) <= before)
        writer.transport.abort()
        assert await reader.read(1)
        await asyncio.sleep(0)


async def test_an_answer_that_is_read_slowly_is_not() -> None:
    async with serve(**LARGE) as rig:
        async with http_client() as http, http.get(rig.polling_url):
            pass
        reader, writer = await large_answer(rig)
        got = 0
        async with asyncio.timeout(PATIENCE_S):
            while got < 7_000_000:
                got += len(await reader.read(1 << 18))
                await asyncio.sleep(0.03)
        writer.transport.abort()
        assert not rig.engine.stats.limited
        await asyncio.sleep(0)
