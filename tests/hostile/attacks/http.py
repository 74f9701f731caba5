"""HTTP that no client speaks, or never finishes."""

from __future__ import annotations

import asyncio
import gzip
import json
import os

from tests.hostile.attacker import say
from tests.hostile.cases import Stage, case
from tests.hostile.pool import QUICK
from tests.support.polling import polling
from tests.support.raw_http import ask, request, status
from tests.support.tokens import mint, new_id
from tests.support.waiting import PATIENCE_S, until

CONNECT_S = float(QUICK["GATEWAY_CONNECT_TIMEOUT_S"])
PATH = "/socket.io/?EIO=4&transport=polling"
NONSENSE = {
    "bytes from nowhere": os.urandom(400) + b"\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "HTTP/9": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "no host": b"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n",
    "control characters in a name": request("GET", PATH, **{"X\x00Y": "1"}),
    "a folded line": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n  c\r\nConnection: close\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\nConnection: close\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\nxxxxxxxxx",
    "a length and chunks": request(
        "POST", PATH, b"0\r\n\r\nGET /", Content_Length="5", Transfer_Encoding="chunked"
    ),
    "a length below zero": request("POST", PATH, b"x", Content_Length="-1"),
    "a length of a thousand digits": request("POST", PATH, b"x", Content_Length="9" * 1000),
    "chunks of no size": request("POST", PATH, b"zz\r\nx\r\n0\r\n\r\n", Transfer_Encoding="chunked"),
    "a chunk of 2 ** 64 bytes": request("POST", PATH, b"f" * 17 + b"\r\nx\r\n", Transfer_Encoding="chunked"),
    "an absolute target": request("GET", "http://evil.example/health/live"),
    "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n",
    "a target with broken escapes": request("GET", "/socket.io/?EIO=4&transport=%ff%00%zz&sid=%0d%0a"),
    "a path out of the folder": request("GET", "/../../etc/passwd"),
    "an upgrade to something else": request("GET", PATH, Upgrade="h2c", Connection="Upgrade, close"),
    "a websocket without a key": request(
        "GET", "/socket.io/?EIO=4&transport=websocket", Upgrade="websocket", Connection="Upgrade"
    ),
}
FEW_CONNECTIONS = {"GATEWAY_MAX_HTTP_CONNECTIONS": "50"}


@case("bytes that are no HTTP, or two requests in one", log_kib=1)
async def no_http(stage: Stage) -> None:
    statuses = {name: await ask(stage.port, data) for name, data in NONSENSE.items()}
    answered = {name: number for name, number in statuses.items() if number < 400}
    assert set(answered) <= {"an absolute target", "an upgrade to something else"}, answered
    assert max(statuses.values()) < 500, statuses
    stage.closed = f"{len(statuses) - len(answered)} of {len(statuses)} refused with 4xx, the others are lawful"


@case("headers of a megabyte, a target of a megabyte, 10,000 headers", log_kib=1)
async def huge_headers(stage: Stage) -> None:
    huge = "x" * 1_000_000
    attempts = [
        request("GET", PATH, Authorization=f"Bearer {huge}"),
        request("GET", f"{PATH}&sid={huge}"),
        request("GET", PATH, **{f"X-{i}": "y" * 100 for i in range(10_000)}),
        request("GET", PATH, Cookie="a=b; " * 200_000),
    ]
    for attempt in attempts:
        assert await ask(stage.port, attempt) in (0, 400, 413, 431)
    stage.closed = f"{len(attempts)} of {len(attempts)} refused"


@case("connections that say nothing, more than may be open", settings=FEW_CONNECTIONS, memory_mib=16, log_kib=20)
async def connections_beyond_the_limit(stage: Stage) -> None:
    count, before = stage.times(2000, 200), stage.arena.metric("gateway_limited_total")
    writers = []
    try:
        for _ in range(count):
            _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writers.append(writer)
        assert await ask(stage.port, request("GET", "/health")) == 200
        closed = stage.arena.metric("gateway_limited_total") - before
        assert closed >= count - int(FEW_CONNECTIONS["GATEWAY_MAX_HTTP_CONNECTIONS"])
    finally:
        for writer in writers:
            writer.transport.abort()
    stage.closed = f"{closed} of {count} closed for others; a request is answered"


@case("half-open HTTP requests: headers that never end, 200 connections", memory_mib=16)
async def half_open_requests(stage: Stage) -> None:
    began = stage.now()
    head = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nX-A: ".encode()
    files = stage.arena.files()

    async def drip() -> float:
        """One byte at a time, so that no time-out between two reads ends it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(head)
        end = asyncio.ensure_future(reader.read())
        while not end.done() and stage.now() - began < PATIENCE_S:
            writer.write(b"x")
            await asyncio.wait((end,), timeout=0.2)
        writer.transport.abort()
        if not end.done():
            end.cancel()
            raise AssertionError("still open")
        return stage.now() - began

    after_s = await asyncio.gather(*(drip() for _ in range(stage.times(200, 40))))
    stage.closed = f"{len(after_s)} closed, the last after {max(after_s):.1f} s"
    await until(lambda: stage.arena.files() <= files + 2, what="the files to be closed")


@case("polling bodies that drip in, 100 sessions", memory_mib=16)
async def dripping_bodies(stage: Stage) -> None:
    began = stage.now()

    async def drip() -> int:
        async with polling(stage.port, "/socket.io/") as poller:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            writer.write(request("POST", f"{PATH}&sid={poller.sid}", Content_Length="10000") + b"4")
            end = asyncio.ensure_future(reader.read())
            while not end.done() and stage.now() - began < PATIENCE_S:
                writer.write(b"x")
                await asyncio.wait((end,), timeout=0.2)
            writer.transport.abort()
            return status(await end) if end.done() else -1

    statuses = await asyncio.gather(*(drip() for _ in range(stage.times(100, 20))))
    assert set(statuses) <= {400, 408}, statuses
    stage.closed = (
        f"{len(statuses)} refused with 408, or closed for not authenticating, in {stage.now() - began:.1f} s"
    )


@case("oversized polling bodies, 2,000", row="17", plain="4,006 tasks left behind", memory_mib=24)
async def oversized_bodies(stage: Stage) -> None:
    sessions, files = stage.arena.sessions(), stage.arena.files()
    statuses = []

    async def attack(body: bytes, **headers: str) -> None:
        async with polling(stage.port, "/socket.io/") as poller:
            began = stage.now()
            code = await ask(stage.port, request("POST", f"{PATH}&sid={poller.sid}", body, **headers))
        # On a machine that is too slow for it, the session was given up before.
        if code != 400 or stage.now() - began < CONNECT_S:
            statuses.append(code)

    chunks = (b"f4240\r\n" + b"4" * 1_000_000 + b"\r\n") * 2
    for _ in range(stage.times(100, 4)):
        announced = [attack(b"4" * 10_000, Content_Length="50000000") for _ in range(10)]
        await asyncio.gather(*announced, *(attack(chunks, Transfer_Encoding="chunked") for _ in range(10)))
    assert set(statuses) == {413}, statuses
    await until(lambda: stage.arena.sessions() <= sessions, what="the sessions to be gone")
    await until(lambda: stage.arena.files() <= files + 2, what="the files to be closed")
    stage.closed = f"{len(statuses)} times 413; no session, no connection left"


@case("large bodies of users that break off before their end, 100 and 100 again", memory_mib=220, log_kib=140)
async def broken_off_bodies(stage: Stage) -> None:
    count = stage.times(100, 25)

    async def attack() -> None:
        async with polling(stage.port, "/socket.io/") as poller:
            assert (await poller.post("40" + json.dumps({"token": mint()})))[0] == 200
            await poller.poll_until('42["connected"')
            _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
            target = f"{PATH}&sid={poller.sid}"
            writer.write(request("POST", target, Content_Length="990000") + bytes(980_000))
            await writer.drain()
            writer.transport.abort()
            await poller.post("1")

    sessions, before = stage.arena.sessions(), stage.arena.replica.memory_kib()
    for _ in range(2):
        await asyncio.gather(*(attack() for _ in range(count)))
    await until(lambda: stage.arena.sessions() <= sessions, what="the sessions to be gone")
    kept_mib = (stage.arena.replica.memory_kib() - before) / 1024
    assert kept_mib < 0.4 * 2 * count, f"{kept_mib:.0f} MiB were not given back"
    stage.closed = f"{2 * count} of {2 * count} gone, and what had come of them"


@case("a polling body of 100 KiB that unpacks to 100 MB", memory_mib=16)
async def zip_bomb(stage: Stage) -> None:
    bomb = gzip.compress(bytes(100_000_000), 6)
    async with polling(stage.port, "/socket.io/") as poller:
        packed = request("POST", f"{PATH}&sid={poller.sid}", bomb, Content_Encoding="gzip")
        assert await ask(stage.port, packed) == 415
    stage.closed = "refused, 415"


@case(
    "a POST that arrives in two segments, 10 times", row="17", plain="0 of 10 understood, answered 200", log_kib=20
)
async def segmented_posts(stage: Stage) -> None:
    understood = 0
    for _ in range(10):
        async with polling(stage.port, "/socket.io/") as poller:
            assert await poller.post("40" + json.dumps({"token": mint()})) == (200, "ok")
            await poller.poll_until('42["connected"')
            body = b'427["ping",{"x":"' + b"x" * 100_000 + b'"}]'
            whole = request("POST", f"{PATH}&sid={poller.sid}", body)
            assert status(await say(stage.port, whole[:50_000], whole[50_000:])) == 200
            understood += (await poller.poll())[1].startswith("437[")
    assert understood == 10
    stage.closed = "10 of 10 understood"


@case("20,000 requests in one write", memory_mib=40)
async def pipelined_requests(stage: Stage) -> None:
    count = stage.times(20_000, 2_000)
    one = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await say(stage.port, one * (count - 1) + request("GET", "/health/live"))
    assert answer.count(b"HTTP/1.1 200") > 0
    stage.closed = "answered one by one"


@case("session ids that nobody gave out, 5,000")
async def made_up_sessions(stage: Stage) -> None:
    statuses = []

    async def attack() -> None:
        for sid in (new_id()[:20], "x" * 20, "../" * 7, "%00" * 8, "A" * 8 + "-" * 12):
            target = f"{PATH}&sid={sid}"
            statuses.append(await ask(stage.port, request("POST", target, b"4" * 1000)))

    for _ in range(stage.times(50, 4)):
        await asyncio.gather(*(attack() for _ in range(20)))
    assert set(statuses) == {400}, statuses
    stage.closed = f"{len(statuses):,} of {len(statuses):,} refused, 400"
