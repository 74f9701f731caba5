import asyncio
import gc
import shutil
import ssl
import subprocess
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, RawRequestMessage, StreamWriter
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from gateway.engine import EngineSocket
from gateway.engine.reader import FrameReader
from gateway.engine.takeover import HANDLER_INTERNALS, Taken
from gateway.engine.websocket import WebSocket
from tests.engine.rig import digest_of, serve, waiting_poll
from tests.support.polling import polling
from tests.support.raw_http import connection, head, upgrade
from tests.support.waiting import until
from tests.support.websocket import opened

# What takeover.py relies on, as it read when it was last checked. When one of these fails: read the changed
# method, see that takeover.py still holds, then renew the digest.
DIGESTS = {
    RequestHandler.start: "2e565fd40c8e04fb",
    RequestHandler.finish_response: "b7eb53db8f4b30ca",
    RequestHandler.connection_lost: "df2fe6e95fd04c7c",
    RequestHandler.data_received: "1ee57ebe052e6c80",
    BaseProtocol.resume_reading: "21dee847a31af724",
    Server.connection_lost: "fff3ade6ffe866a8",
}

OF_A_REQUEST = (web.Request, RequestHandler, HttpRequestParser, RawRequestMessage, StreamWriter, Taken)


def test_aiohttp_is_the_version_that_was_read() -> None:
    assert aiohttp.__version__.startswith("3.14.")


@pytest.mark.parametrize("name", HANDLER_INTERNALS)
def test_the_internals_are_there(name: str) -> None:
    assert any(name in vars(owner) for owner in RequestHandler.__mro__)


@pytest.mark.parametrize("method", DIGESTS, ids=lambda method: method.__qualname__)
def test_the_internals_are_what_they_were(method: Any) -> None:
    assert digest_of(method) == DIGESTS[method], f"{method.__qualname__} of aiohttp changed: see the comment above"


def alive() -> Counter[str]:
    """Count the objects of requests that exist, also those that only the garbage collector could free."""
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in OF_A_REQUEST)


@contextmanager
def no_collector() -> Iterator[None]:
    """Collect what is garbage by now, and nothing from then on."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def settled(tasks: int) -> None:
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_nothing_of_a_request_outlives_its_handshake_and_no_garbage_is_made() -> None:
    async with serve() as rig, AsyncExitStack() as stack:
        with no_collector():
            before, tasks = alive(), len(asyncio.all_tasks())
            for _ in range(20):
                await stack.enter_async_context(opened(rig.port))
            await settled(tasks)
            for socket in rig.notes.opened:
                socket.forget_handshake()
            assert alive() == before


async def test_nothing_of_a_session_outlives_its_end_and_no_garbage_is_made() -> None:
    async with serve() as rig:
        with no_collector():
            gone = []
            for number in range(9):
                async with opened(rig.port) as peer:
                    gone += [weakref.ref(rig.socket), weakref.ref(rig.socket)]
                    rig.socket.owner = object()
                    if number % 3 == 0:
                        peer.send("bad first frame")
                        await peer.close_code()
                    elif number % 3 == 1:
                        peer.abort()
                    else:
                        rig.socket.close()
                        await peer.close_code()
                rig.notes.opened.clear()
            await until(rig.idle)
            await until(lambda: not [ref for ref in gone if ref() is not None])


async def test_polls_and_posts_make_no_garbage_either() -> None:
    async with serve() as rig, polling(rig.port) as client:
        await client.post("4x")
        await client.poll()
        with no_collector():
            before = alive()
            for _ in range(10):
                poll = await waiting_poll(rig, client)
                rig.socket.send_text("x")
                await poll
                await client.post("4x")
                await client.poll()
            await until(lambda: alive() <= before)


async def test_a_post_that_breaks_off_is_not_held_until_the_collector_comes_by() -> None:
    async with serve() as rig:
        with no_collector():
            before = alive()
            for _ in range(5):
                async with polling(rig.port) as client:
                    target = f"/engine.io/?EIO=4&transport=polling&sid={client.sid}"
                    async with connection(rig.port) as (_, writer):
                        writer.write(head("POST", target, {"Content-Length": "900000"}) + bytes(200_000))
                        await writer.drain()
                        await until(lambda: getattr(rig.socket.channel, "_posting", False))
                    await until(lambda: not getattr(rig.socket.channel, "_posting", False))
            await until(lambda: alive() <= before)


async def test_aiohttp_forgets_the_connection() -> None:
    async with serve() as rig:
        tasks = len(asyncio.all_tasks())
        async with opened(rig.port):
            await settled(tasks)
            servers = [thing for thing in gc.get_objects() if isinstance(thing, Server)]
            assert not any(server.connections for server in servers)


async def test_a_websocket_is_made_of_few_and_small_objects() -> None:
    async with serve() as rig, AsyncExitStack() as stack:
        for _ in range(50):
            await stack.enter_async_context(opened(rig.port))
        gc.collect()
        ours = [thing for thing in gc.get_objects() if type(thing) in (EngineSocket, WebSocket, FrameReader)]
        assert len(ours) == 150
        assert sum(thing.__sizeof__() for thing in ours) / 50 < 500


async def test_it_works_the_same_over_tls(tmp_path: Path) -> None:
    server_side, client_side = certificate(tmp_path)
    async with serve(tls=server_side) as rig, opened(rig.port, tls=client_side) as peer:
        sent: list[str | bytes] = ["4a", b"\x00", "4" + "x" * 200_000]
        for message in sent:
            peer.send(message)
        assert [await peer.receive() for _ in sent] == sent
        rig.socket.close()
        assert await peer.close_code() == 1000
        peer.abort()
        await until(rig.idle)


async def test_a_slow_client_is_cut_over_tls_too(tmp_path: Path) -> None:
    server_side, client_side = certificate(tmp_path)
    options: dict[str, Any] = {"tls": server_side, "max_buffer_bytes": 100_000}
    async with serve(**options) as rig, opened(rig.port, tls=client_side, limit=1024):
        for _ in range(200):
            rig.socket.send_text("x" * 100_000)
        await until(lambda: rig.reasons == ["slow"])


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts of a server and of a client that trusts it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    key, cert = folder / "key.pem", folder / "cert.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = "subjectAltName=DNS:localhost"
    command = [openssl, *options.split(), "-addext", names, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=str(cert))


async def test_an_upgrade_behind_a_pipelined_request_waits_its_turn() -> None:
    async with serve() as rig, polling(rig.port) as client:
        poll = head("GET", f"/engine.io/?EIO=4&transport=polling&sid={client.sid}")
        async with connection(rig.port) as (reader, writer):
            writer.write(poll + head("GET", "/engine.io/?EIO=4&transport=websocket", upgrade()))
            rig.socket.send_text("x")
            assert b" 200 " in await reader.readline()
            assert b"4x" in await reader.readuntil(b"4x")
            assert b" 101 " in await reader.readline()
