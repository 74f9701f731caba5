import asyncio
import time
from typing import Any

from gateway.engine import CloseReason, EngineSocket
from tests.engine.rig import serve
from tests.support.polling import polling
from tests.support.waiting import SLACK_S, until
from tests.support.websocket import opened

FAST: dict[str, Any] = {"ping_interval_s": 0.1, "ping_timeout_s": 1.5}


async def test_a_client_that_answers_stays() -> None:
    async with serve(**FAST) as rig, opened(rig.port) as peer:
        for _ in range(4):
            assert await peer.receive() == "2"
            peer.send("3")
        assert not rig.socket.closed


async def test_a_client_that_does_not_answer_is_closed_with_a_reason() -> None:
    async with serve(**FAST) as rig, opened(rig.port) as peer:
        started = asyncio.get_running_loop().time()
        assert await peer.receive() == "2"
        await peer.close_code()
        assert peer.reason == CloseReason.PING_TIMEOUT
        assert FAST["ping_timeout_s"] < asyncio.get_running_loop().time() - started < SLACK_S
        await until(rig.idle)
        assert rig.reasons == [CloseReason.PING_TIMEOUT]


async def test_messages_are_no_substitute_for_a_pong() -> None:
    async with serve(**FAST) as rig, opened(rig.port) as peer:
        assert await peer.receive() == "2"
        peer.send("4hello")
        await until(lambda: rig.reasons == [CloseReason.PING_TIMEOUT])


async def test_pongs_that_nobody_asked_for_change_nothing() -> None:
    async with serve(**FAST) as rig, opened(rig.port) as peer:
        for _ in range(5):
            peer.send("3")
        assert await peer.receive() == "2"
        await until(lambda: rig.reasons == [CloseReason.PING_TIMEOUT])


async def test_a_polling_client_is_pinged_by_its_poll() -> None:
    async with serve(**FAST) as rig, polling(rig.port) as client:
        for _ in range(3):
            assert await client.poll() == (200, "2")
            assert await client.post("3") == (200, "ok")
        assert not rig.socket.closed


async def test_a_polling_client_that_vanished_is_dropped() -> None:
    async with serve(**FAST) as rig:
        async with polling(rig.port):
            pass
        await until(rig.idle)
        assert rig.reasons == [CloseReason.PING_TIMEOUT]


async def test_a_client_whose_messages_we_do_not_read_is_not_blamed() -> None:
    release = asyncio.Event()

    async def slow(socket: EngineSocket, data: str | bytes) -> None:
        await release.wait()

    async with serve(**FAST, receiver=slow, inbox_messages=2) as rig, opened(rig.port) as peer:
        for number in range(6):
            peer.send(f"4{number}")
        await until(lambda: rig.socket.full)
        assert await peer.receive() == "2"
        peer.send("3")
        passed = asyncio.Event()
        rig.engine.call_later(1.2 * FAST["ping_timeout_s"], passed.set)
        await passed.wait()
        assert not rig.socket.closed
        release.set()
        assert await peer.receive() == "2"


async def test_call_later_calls_once_and_can_be_cancelled() -> None:
    async with serve(**FAST) as rig:
        called: list[str] = []
        started = time.monotonic()
        rig.engine.call_later(0.05, lambda: called.append("a"))
        rig.engine.call_later(0.05, lambda: called.append("b")).cancel()
        await until(lambda: called == ["a"])
        assert time.monotonic() - started >= 0.05
        await until(rig.idle)


async def test_a_timer_that_raises_stops_no_other() -> None:
    async with serve(**FAST) as rig:
        called: list[str] = []
        rig.engine.call_later(0.01, lambda: 1 // 0)
        rig.engine.call_later(0.01, lambda: called.append("a"))
        await until(lambda: called == ["a"])
        assert rig.notes.logged == [("engine_timer_failed", {"error": "ZeroDivisionError"})]
