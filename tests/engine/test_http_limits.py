"""HTTP connections that take too long or too much."""

import asyncio
import gzip
import hashlib
import inspect
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_runner import AppRunner
from aiohttp.web_server import Server

from gateway.engine.http_limits import INTERNALS
from tests.engine.rig import serve
from tests.engine.wire import eventually, http_client, opened, polling
from tests.support.waiting import PATIENCE_S, SLACK_S

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

GET = b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n"
# Longer than an honest request takes on a busy machine.
QUICK: dict[str, Any] = {"request_timeout_s": 0.5}
LARGE: dict[str, Any] = {"request_timeout_s": 1.5}


@pytest.mark.parametrize("name", INTERNALS)
def test_the_internals_are_there(name: str) -> None:
    assert name in RequestHandler.__slots__


@pytest.mark.parametrize("method", DIGESTS, ids=lambda method: method.__qualname__)
def test_the_internals_are_what_they_were(method: Any) -> None:
    digest = hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:16]
    assert digest == DIGESTS[method], f"{method.__qualname__} of aiohttp changed: see the comment above"


class Line:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def drip(self, data: bytes = b"X-Slow: 1\r\n", every_s: float = 0.02) -> None:
        """Send this for ever, a little at a time."""
        while not self._writer.is_closing():
            self.send(data)
            await asyncio.sleep(every_s)

    async def answer(self) -> tuple[int, dict[str, Any]]:
        """Read one answer; return its status, and its body as far as that is JSON."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = int(head.partition("content-length: ")[2].split()[0])
            body = await self._reader.readexactly(size)
        status = int(head.split()[1])
        return status, json.loads(body) if body[:1] == b"{" else {}

    async def ended(self) -> bytes:
        """Wait until the server has closed; return what else came."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def line(port: int) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


# -- how many


async def test_beyond_the_limit_one_that_waits_makes_room_for_one_that_asks() -> None:
    async with serve(http_limits={"max_connections": 2}) as rig, line(rig.port) as first, line(rig.port) as second:
        for asking in (first, second):
            asking.send(GET + b"\r\n")
            assert (await asking.answer())[0] == 200
        async with line(rig.port) as third:
            assert await first.ended() == b""
            third.send(GET + b"\r\n")
            assert (await third.answer())[0] == 200
            second.send(GET + b"\r\n")
            assert (await second.answer())[0] == 200
        assert rig.engine.stats.limited == {"max_http_connections": 1}
        assert [fields["limit"] for name, fields in rig.notes.logged if name == "connect_limited"] == [
            "max_http_connections"
        ]


async def test_a_flood_of_connections_that_say_nothing_leaves_room() -> None:
    async with serve(http_limits={"max_connections": 5}) as rig, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(line(rig.port)) for _ in range(50)]
        async with line(rig.port) as asking:
            asking.send(GET + b"\r\n")
            assert (await asking.answer())[0] == 200
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
        await eventually(started.is_set)
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
        slow.send(GET + b"\r\n")
        assert (await slow.answer())[0] == 200
        slow.send(b"GET /engine.io/")
        assert (await slow.answer())[0] == 408
        await slow.ended()


async def test_between_requests_a_connection_may_be_idle_for_longer() -> None:
    async with (
        serve(http_limits=QUICK | {"idle_timeout_s": 6.0}) as rig,
        line(rig.port) as idle,
        line(rig.port) as silent,
    ):
        idle.send(GET + b"\r\n")
        assert (await idle.answer())[0] == 200
        await silent.ended()
        for _ in range(2):
            async with line(rig.port) as other:
                await other.ended()
        idle.send(GET + b"\r\n")
        assert (await idle.answer())[0] == 200
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


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    async with serve(http_limits=LARGE, max_payload_bytes=8_000_000, max_buffer_bytes=8_000_000) as rig:
        async with (
            http_client() as http,
            http.get(f"http://127.0.0.1:{rig.port}/engine.io/?EIO=4&transport=polling"),
        ):
            pass
        before = len(asyncio.all_tasks())
        rig.socket.send_text("x" * 7_000_000)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
        writer.write(GET.replace(b"polling", f"polling&sid={rig.socket.sid}".encode()) + b"\r\n")
        await eventually(lambda: rig.engine.stats.limited["request_timeout_s"] == 1)
        await eventually(lambda: len(asyncio.all_tasks()) <= before)
        writer.transport.abort()
        assert await reader.read(1)
        await asyncio.sleep(0)


async def test_an_answer_that_is_read_slowly_is_not() -> None:
    async with serve(http_limits=LARGE, max_payload_bytes=8_000_000, max_buffer_bytes=8_000_000) as rig:
        async with (
            http_client() as http,
            http.get(f"http://127.0.0.1:{rig.port}/engine.io/?EIO=4&transport=polling"),
        ):
            pass
        rig.socket.send_text("x" * 7_000_000)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1024)
        writer.write(GET.replace(b"polling", f"polling&sid={rig.socket.sid}".encode()) + b"\r\n")
        got = 0
        async with asyncio.timeout(PATIENCE_S):
            while got < 7_000_000:
                got += len(await reader.read(1 << 18))
                await asyncio.sleep(0.03)
        writer.transport.abort()
        assert not rig.engine.stats.limited
        await asyncio.sleep(0)


# -- size


@pytest.mark.parametrize(
    "head",
    [
        b"GET /engine.io/?EIO=4&transport=polling&x=" + b"x" * 17_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        GET + b"X: " + b"x" * 17_000 + b"\r\n\r\n",
        GET + b"x" * 17_000 + b": x\r\n\r\n",
        GET + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(40)) + b"\r\n",
        GET + b"".join(b"X-%d: x\r\n" % n for n in range(200)) + b"\r\n",
    ],
    ids=["address", "value", "name", "altogether", "number"],
)
@pytest.mark.parametrize("parts", [1, 7])
async def test_a_head_that_is_too_large_is_refused(head: bytes, parts: int) -> None:
    async with serve() as rig, line(rig.port) as peer:
        size = len(head) // parts + 1
        for at in range(0, len(head), size):
            peer.send(head[at : at + size])
            await asyncio.sleep(0.002)
        status, body = await peer.answer()
        assert (status, body["limit"]) == (431, "max_header_bytes")
        assert rig.engine.stats.limited == {"max_header_bytes": 1}


async def test_a_head_that_goes_on_and_on_is_refused_before_its_end() -> None:
    async with serve() as rig, line(rig.port) as peer:
        peer.send(GET)
        flooding = asyncio.create_task(peer.drip(b"X-More: " + b"x" * 500 + b"\r\n", every_s=0.001))
        assert (await peer.answer())[0] == 431
        flooding.cancel()


async def test_the_client_sees_the_refusal_of_much_more_than_we_read() -> None:
    async with serve() as rig, line(rig.port) as peer:
        peer.send(GET + b"X: " + b"x" * 3_000_000)
        assert (await peer.answer())[0] == 431


async def test_a_large_body_is_no_large_head() -> None:
    async with serve() as rig, polling(rig.port) as client:
        assert await client.post("4" + "x" * 500_000) == (200, "ok")
        assert not rig.engine.stats.limited


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x-bomb"])
async def test_a_compressed_body_is_refused_unread(encoding: str) -> None:
    async with serve() as rig, polling(rig.port) as client:
        bomb = gzip.compress(b"4" + bytes(50_000_000))
        headers = {"Content-Encoding": encoding, "Content-Type": "text/plain"}
        async with client.http.post(client.url, data=bomb, headers=headers) as response:
            assert (response.status, (await response.json())["code"]) == (415, 10)
        assert rig.notes.received == []


# -- lies


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 5x\r\n",
        b"Content-Length: 99999999999999999999999999\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ],
)
async def test_a_length_that_makes_no_sense_is_refused(lines: bytes) -> None:
    async with serve() as rig, polling(rig.port) as client, line(rig.port) as liar:
        target = f"POST /engine.io/?EIO=4&transport=polling&sid={client.sid} HTTP/1.1\r\nHost: x\r\n".encode()
        liar.send(target + lines + b"\r\n4abcd")
        assert (await liar.answer())[0] in (400, 413)
        await liar.ended()
        assert rig.notes.received == []


async def test_what_follows_a_body_is_no_part_of_it() -> None:
    async with serve() as rig, polling(rig.port) as client, line(rig.port) as liar:
        target = f"POST /engine.io/?EIO=4&transport=polling&sid={client.sid} HTTP/1.1\r\nHost: x\r\n".encode()
        liar.send(target + b"Content-Length: 2\r\n\r\n4a")
        assert (await liar.answer())[0] == 200
        liar.send(b"bcdefgh\r\n\r\n")
        assert (await liar.answer())[0] == 400
        await liar.ended()
        assert rig.notes.received == ["a"]


async def test_chunks_without_end_are_refused_at_the_limit() -> None:
    async with serve(max_payload_bytes=10_000) as rig, polling(rig.port) as client, line(rig.port) as liar:
        target = f"POST /engine.io/?EIO=4&transport=polling&sid={client.sid} HTTP/1.1\r\nHost: x\r\n".encode()
        liar.send(target + b"Transfer-Encoding: chunked\r\n\r\n")
        flooding = asyncio.create_task(liar.drip(b"64\r\n" + b"4" * 100 + b"\r\n", every_s=0.001))
        status, body = await liar.answer()
        assert (status, body["limit"]) == (413, "max_payload_bytes")
        flooding.cancel()


async def test_no_refusal_leaves_a_task_behind() -> None:
    async with serve(max_payload_bytes=1000, close_timeout_s=0.05) as rig, polling(rig.port) as client:
        before = len(asyncio.all_tasks())
        head = f"POST /engine.io/?EIO=4&transport=polling&sid={client.sid} HTTP/1.1\r\nHost: x\r\n".encode()
        for request in (
            head + b"Content-Length: 5000\r\n\r\n",
            head + b"Content-Encoding: gzip\r\nContent-Length: 500\r\n\r\n",
            head + b"X: " + b"x" * 20_000 + b"\r\n\r\n",
            b"nonsense\r\n\r\n",
        ):
            for _ in range(10):
                async with line(rig.port) as peer:
                    peer.send(request)
                    assert (await peer.answer())[0] >= 400
        await eventually(lambda: len(asyncio.all_tasks()) <= before)


async def test_what_fails_while_a_request_is_handled_is_one_line_and_a_plain_word() -> None:
    def fail(origin: str | None) -> bool:
        raise KeyError("secret")

    async with serve(allow_origin=fail) as rig, line(rig.port) as peer:
        peer.send(GET + b"\r\n")
        status, body = await peer.answer()
        assert (status, body["message"]) == (500, "Something went wrong here")
        ((event, fields),) = rig.notes.logged
        assert (event, fields["path"]) == ("http_handler_failed", "/engine.io/")
        assert str(fields["error"]).startswith("KeyError in test_http_limits.py, line ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /engine.io/?EIO=4&transport=polling\r\n\r\n",
        b"GET /engine.io/?EIO=4&transport=polling HTTP/0.9\r\n\r\n",
        b"GET /engine.io/?EIO=4&transport=polling HTTP/2.0\r\nHost: x\r\n\r\n",
    ],
    ids=map(str, range(9)),
)
async def test_only_the_versions_of_http_that_are_meant_are_served(head: bytes) -> None:
    async with serve() as rig, line(rig.port) as stranger:
        stranger.send(head)
        answer = await stranger.ended()
        assert answer.startswith(b"HTTP/1.")
        assert answer.split()[1] == b"400"
        assert not rig.notes.opened


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/0.9\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /fails HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
    ids=map(str, range(9)),
)
async def test_an_error_does_not_say_what_runs_here(request_: bytes) -> None:
    async def fail(request: web.Request) -> web.Response:
        raise RuntimeError

    async with serve(routes=[web.get("/fails", fail)]) as rig, line(rig.port) as stranger:
        stranger.send(request_)
        answer = (await stranger.ended()).lower()
        assert answer.startswith(b"http/1.")
        assert b"\r\nserver: gateway\r\n" in answer
        assert b"python" not in answer
        assert b"aiohttp" not in answer
