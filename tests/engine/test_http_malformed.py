"""Malformed HTTP requests, and what the refusals of requests say of the server."""

import asyncio

import pytest
from aiohttp import web

from tests.engine.line import GET, line
from tests.engine.rig import serve
from tests.support.polling import polling
from tests.support.waiting import until


def post(sid: str, fields: bytes, body: bytes = b"") -> bytes:
    """Return a POST to a session."""
    target = f"/engine.io/?EIO=4&transport=polling&sid={sid}".encode()
    return b"POST " + target + b" HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n" + body


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
        liar.send(post(client.sid, lines, b"4abcd"))
        assert (await liar.answer())[0] in (400, 413)
        await liar.ended()
        assert rig.notes.received == []


async def test_what_follows_a_body_is_no_part_of_it() -> None:
    async with serve() as rig, polling(rig.port) as client, line(rig.port) as liar:
        liar.send(post(client.sid, b"Content-Length: 2\r\n", b"4a"))
        assert (await liar.answer())[0] == 200
        liar.send(b"bcdefgh\r\n\r\n")
        assert (await liar.answer())[0] == 400
        await liar.ended()
        assert rig.notes.received == ["a"]


async def test_chunks_without_end_are_refused_at_the_limit() -> None:
    async with serve(max_payload_bytes=10_000) as rig, polling(rig.port) as client, line(rig.port) as liar:
        liar.send(post(client.sid, b"Transfer-Encoding: chunked\r\n"))
        flooding = asyncio.create_task(liar.drip(b"64\r\n" + b"4" * 100 + b"\r\n", every_s=0.001))
        status, body = await liar.answer()
        assert (status, body["limit"]) == (413, "max_payload_bytes")
        flooding.cancel()


async def test_no_refusal_leaves_a_task_behind() -> None:
    async with serve(max_payload_bytes=1000, close_timeout_s=0.05) as rig, polling(rig.port) as client:
        before = len(asyncio.all_tasks())
        for request in (
            post(client.sid, b"Content-Length: 5000\r\n"),
            post(client.sid, b"Content-Encoding: gzip\r\nContent-Length: 500\r\n"),
            post(client.sid, b"X: " + b"x" * 20_000 + b"\r\n"),
            b"nonsense\r\n\r\n",
        ):
            for _ in range(10):
                async with line(rig.port) as peer:
                    peer.send(request)
                    assert (await peer.answer())[0] >= 400
        await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_what_fails_while_a_request_is_handled_is_one_line_and_a_plain_word() -> None:
    def fail(origin: str | None) -> bool:
        raise KeyError("secret")

    async with serve(allow_origin=fail) as rig, line(rig.port) as peer:
        peer.send(GET + b"\r\n")
        status, body = await peer.answer()
        assert (status, body["message"]) == (500, "Something went wrong here")
        ((event, fields),) = rig.notes.logged
        assert (event, fields["path"]) == ("http_handler_failed", "/engine.io/")
        assert str(fields["error"]).startswith("KeyError in test_http_malformed.py, line ")


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
