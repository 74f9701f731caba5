"""Bodies where none may be: whoever announces one would have the next request on the connection taken for it."""

from __future__ import annotations

import pytest

from tests.engine.rig import serve
from tests.support import raw_http
from tests.support.polling import polling
from tests.support.websocket import websocket

UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
HELLO = "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"
ANNOUNCED = [
    "Content-Length: 5\r\n",
    "content-length: 00\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
]


async def exchange(port: int, request: str, behind: str = HELLO) -> str:
    """Send a request with another one behind it; return all that comes until the server closes."""
    return (await raw_http.exchange(port, (request + behind).encode())).decode()


@pytest.mark.parametrize("announced", ANNOUNCED)
@pytest.mark.parametrize("upgrade", ["", UPGRADE])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
async def test_it_is_refused_and_nothing_behind_it_is_answered(method: str, upgrade: str, announced: str) -> None:
    if method == "POST" and not upgrade:
        return  # the one that may have a body
    transport = "websocket" if upgrade else "polling"
    async with serve() as rig, polling(rig.port) as poller:
        for sid in ("", f"&sid={poller.sid}"):
            target = f"/engine.io/?EIO=4&transport={transport}{sid}"
            body = "0\r\n\r\n" if "chunked" in announced else "aaaaa" if "5" in announced else ""
            request = f"{method} {target} HTTP/1.1\r\nHost: x\r\n{upgrade}{announced}\r\n{body}"
            answer = await exchange(rig.port, request)
            assert answer.startswith("HTTP/1.1 400 "), answer
            assert "Connection: close" in answer
            assert answer.count("HTTP/1.1") == 1, answer
        assert [name for name, _ in rig.notes.logged] == ["body_refused"] * 2
        assert len(rig.engine.sockets) == 1


@pytest.mark.parametrize("version", ["12", "13"])
async def test_what_comes_behind_an_upgrade_that_is_refused_is_no_request(version: str) -> None:
    async with serve() as rig:
        upgrade = UPGRADE.replace("13", version)
        target = "/engine.io/?EIO=4&transport=websocket&sid=nobody"
        answer = await exchange(rig.port, f"GET {target} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n")
        assert answer.startswith("HTTP/1.1 4")
        assert answer.count("HTTP/1.1") == 1, answer


async def test_a_body_of_no_bytes_is_none() -> None:
    async with serve() as rig:
        request = HELLO.replace("\r\n\r\n", "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        assert (await exchange(rig.port, request, "")).startswith("HTTP/1.1 200 ")


async def test_more_websockets_of_one_session_are_connects() -> None:
    asked: list[str] = []
    async with (
        serve(admit=asked.append) as rig,
        polling(rig.port) as poller,
        websocket(rig.port, sid=poller.sid) as upgrade,
    ):
        assert (upgrade.status, len(asked)) == (101, 1)
        for number in range(2, 5):
            async with websocket(rig.port, sid=poller.sid) as another:
                assert (another.status, len(asked)) == (101, number)
