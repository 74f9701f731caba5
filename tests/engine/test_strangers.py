"""Of a client that nobody has vouched for, little is kept: its messages are small, or refused by their header."""

import asyncio
from typing import Any

import pytest

from gateway.engine import CloseCode
from gateway.engine.reader import CONTINUATION, TEXT
from tests.engine.rig import serve
from tests.support.polling import polling
from tests.support.waiting import PATIENCE_S, until
from tests.support.websocket import frame, opened, websocket

LIMITS: dict[str, Any] = {"max_stranger_bytes": 1000, "max_payload_bytes": 50_000}
LARGE = b"4" + b"x" * 20_000


@pytest.mark.parametrize(
    "data",
    [frame(TEXT, LARGE)[:4], frame(TEXT, b"4" + b"x" * 999, fin=False) + frame(CONTINUATION, b"x")[:2]],
    ids=["at once", "in parts"],
)
async def test_a_large_message_is_refused_before_it_has_come(data: bytes) -> None:
    async with serve(**LIMITS) as rig, opened(rig.port) as peer:
        peer.raw(data)
        assert await peer.close_code() == CloseCode.TOO_BIG
        assert rig.notes.received == []


async def test_a_message_within_the_limit_is_taken() -> None:
    async with serve(**LIMITS) as rig, opened(rig.port) as peer:
        peer.raw(frame(TEXT, LARGE[:1000]))
        assert await peer.receive() == LARGE[:1000].decode()


async def test_whoever_is_vouched_for_sends_messages_of_full_size() -> None:
    async with serve(**LIMITS) as rig, opened(rig.port) as peer:
        rig.socket.vouch()
        peer.raw(frame(TEXT, LARGE))
        assert await peer.receive() == LARGE.decode()
        peer.raw(frame(TEXT, bytes(50_001))[:10])
        assert await peer.close_code() == CloseCode.TOO_BIG


async def test_the_same_holds_for_bodies() -> None:
    async with serve(**LIMITS) as rig, polling(rig.port) as poller:
        assert (await poller.post(LARGE))[0] == 413
        rig.socket.vouch()
        assert await poller.post(LARGE) == (200, "ok")
        assert rig.notes.received == [LARGE[1:].decode()]


@pytest.mark.parametrize("when", ["before", "after", "never"])
async def test_it_holds_through_an_upgrade(when: str) -> None:
    async with serve(**LIMITS) as rig, polling(rig.port) as poller:
        if when == "before":
            rig.socket.vouch()
        async with websocket(rig.port, sid=poller.sid) as peer:
            peer.send("2probe")
            assert await peer.receive() == "3probe"
            peer.send("5")
            await until(lambda: rig.socket.transport == "websocket")
            if when == "after":
                rig.socket.vouch()
            peer.raw(frame(TEXT, LARGE))
            if when == "never":
                assert await peer.close_code() == CloseCode.TOO_BIG
            else:
                assert await asyncio.wait_for(peer.receive(), PATIENCE_S) == LARGE.decode()


async def test_a_websocket_that_nobody_takes_holds_no_more() -> None:
    async with serve(**LIMITS) as rig, opened(rig.port) as peer:
        rig.socket.vouch()
        async with websocket(rig.port, sid=str(peer.session["sid"])) as second:
            assert await second.close_code() == CloseCode.POLICY
