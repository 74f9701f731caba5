"""HTTP heads and bodies that are too large."""

import asyncio
import gzip

import pytest

from tests.engine.line import GET, line
from tests.engine.rig import serve
from tests.support.polling import polling


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
