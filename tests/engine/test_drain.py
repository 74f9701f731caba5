import asyncio
from contextlib import AsyncExitStack

from gateway.engine import CloseCode, CloseReason, EngineSocket
from tests.engine.rig import Rig, serve
from tests.engine.wire import eventually, opened, polling, websocket


async def test_draining_closes_in_even_steps_and_refuses_newcomers() -> None:
    async with serve() as rig, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(opened(rig.port)) for _ in range(20)]
        drain = asyncio.create_task(rig.engine.drain(0.5))
        await eventually(lambda: rig.reasons)
        assert len(rig.engine.sockets) > 10
        async with websocket(rig.port) as late:
            assert late.status == 503
        assert await peers[0].close_code() == CloseCode.RESTART
        await drain
        assert rig.reasons == [CloseReason.SHUTDOWN] * 20
        assert not rig.engine.sockets


async def test_a_waiting_poll_is_answered_when_draining() -> None:
    async with serve() as rig, polling(rig.port) as client:
        poll = asyncio.create_task(client.poll())
        await eventually(lambda: getattr(rig.socket.channel, "_poll", None))
        await rig.engine.drain(0.05)
        assert await poll == (200, "1")


async def test_shutdown_waits_for_the_ends_to_be_dealt_with() -> None:
    ended: list[str] = []

    async def closer(socket: EngineSocket, reason: str) -> None:
        await asyncio.sleep(0)
        ended.append(reason)

    async with serve(closer=closer) as rig, polling(rig.port):
        await rig.engine.shutdown()
        assert ended == [CloseReason.SHUTDOWN]


async def test_a_session_that_is_being_opened_when_draining_begins_is_sent_away() -> None:
    gate = asyncio.Event()

    async def think(socket: EngineSocket) -> None:
        rig.notes.opened.append(socket)
        await gate.wait()

    async with serve(opener=think) as rig:
        drain = asyncio.create_task(drained(rig, gate))
        async with websocket(rig.port) as peer:
            assert peer.status == 503
        await drain


async def drained(rig: Rig, gate: asyncio.Event) -> None:
    await eventually(lambda: rig.notes.opened)
    await rig.engine.drain(0.05)
    gate.set()


async def test_shutdown_leaves_nothing() -> None:
    async with serve() as rig, opened(rig.port) as peer, polling(rig.port):
        await rig.engine.shutdown()
        assert await peer.close_code() == CloseCode.GOING_AWAY
        await peer.eof()
        assert not rig.engine.sockets
        assert not rig.engine._hub.closing
        assert sorted(rig.reasons) == [CloseReason.SHUTDOWN] * 2
