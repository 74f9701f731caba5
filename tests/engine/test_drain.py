import asyncio
from contextlib import AsyncExitStack

import pytest

from gateway.engine import CloseCode, CloseReason, EngineSocket
from gateway.engine.drain import batches
from tests.engine.rig import serve, waiting_poll
from tests.support.polling import polling
from tests.support.waiting import until
from tests.support.websocket import opened, websocket


async def test_draining_closes_in_even_steps_and_refuses_newcomers() -> None:
    async with serve() as rig, AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(opened(rig.port)) for _ in range(20)]
        drain = asyncio.create_task(rig.engine.drain(0.5))
        await until(lambda: rig.reasons)
        assert len(rig.engine.sockets) > 10
        async with websocket(rig.port) as late:
            assert late.status == 503
        assert await peers[0].close_code() == CloseCode.RESTART
        await drain
        assert rig.reasons == [CloseReason.SHUTDOWN] * 20
        assert not rig.engine.sockets


async def test_a_waiting_poll_is_answered_when_draining() -> None:
    async with serve() as rig, polling(rig.port) as client:
        poll = await waiting_poll(rig, client)
        await rig.engine.drain(0.05)
        assert await poll == (200, "1")


async def test_an_upgrade_that_is_under_way_is_completed_before_its_session_is_closed() -> None:
    # A socket.io-client that stopped polling for it would not notice the end before a heartbeat is missing.
    async with serve() as rig, polling(rig.port) as client, websocket(rig.port, sid=client.sid) as peer:
        peer.send("2probe")
        assert await peer.receive() == "3probe"
        drain = asyncio.create_task(rig.engine.drain(0.0, upgrades_s=10.0))
        async with websocket(rig.port) as late:
            assert late.status == 503
        assert not rig.reasons
        peer.send("5")
        assert await peer.close_code() == CloseCode.RESTART
        await drain


async def test_an_upgrade_that_is_not_completed_holds_a_drain_up_for_so_long_only() -> None:
    async with serve() as rig, polling(rig.port) as client, websocket(rig.port, sid=client.sid) as peer:
        peer.send("2probe")
        assert await peer.receive() == "3probe"
        await rig.engine.drain(0.0, upgrades_s=0.05)
        await until(lambda: rig.reasons == [CloseReason.SHUTDOWN])


async def test_no_upgrade_begins_while_draining() -> None:
    async with serve() as rig, polling(rig.port) as client:
        drain = asyncio.create_task(rig.engine.drain(10.0))
        await asyncio.sleep(0)
        async with websocket(rig.port, sid=client.sid) as peer:
            assert peer.status == 503
        drain.cancel()
        await asyncio.gather(drain, return_exceptions=True)


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

    async def drained() -> None:
        await until(lambda: rig.notes.opened)
        await rig.engine.drain(0.05)
        gate.set()

    async with serve(opener=think) as rig:
        drain = asyncio.create_task(drained())
        async with websocket(rig.port) as peer:
            assert peer.status == 503
        await drain


async def test_shutdown_leaves_nothing() -> None:
    async with serve() as rig, opened(rig.port) as peer, polling(rig.port):
        # At the same time: a peer that does not answer the close in time is reset.
        _, code = await asyncio.gather(rig.engine.shutdown(), peer.close_code())
        assert code == CloseCode.GOING_AWAY
        await peer.eof()
        assert not rig.engine.sockets
        assert not rig.engine._context.closing
        assert sorted(rig.reasons) == [CloseReason.SHUTDOWN] * 2


@pytest.mark.parametrize(("count", "over_s"), [(0, 1.0), (1, 1.0), (7, 0.2), (10_000, 3.0), (5, 0.0)])
def test_all_are_closed_within_the_time(count: int, over_s: float) -> None:
    sizes = list(batches(count, over_s, 0.05))
    assert sum(sizes) == count
    assert len(sizes) == max(round(over_s / 0.05), 1)


def test_batches_are_even() -> None:
    sizes = list(batches(1000, 1.0, 0.1))
    assert max(sizes) - min(sizes) <= 1
