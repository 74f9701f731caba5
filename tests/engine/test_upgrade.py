import asyncio

import pytest

from gateway.engine import CloseReason
from gateway.engine.reader import TEXT
from tests.engine.rig import serve, waiting_poll
from tests.support.polling import packets_of, polling
from tests.support.waiting import until
from tests.support.websocket import Peer, frame, websocket


async def probe(peer: Peer) -> None:
    peer.send("2probe")
    assert await peer.receive() == "3probe"


async def test_a_session_moves_to_the_websocket() -> None:
    async with serve() as rig, polling(rig.port) as client, websocket(rig.port, sid=client.sid) as peer:
        await probe(peer)
        assert await client.poll() == (200, "6")
        peer.send("5")
        peer.send("4hello")
        assert await peer.receive() == "4hello"
        assert rig.socket.transport == "websocket"
        assert (await client.poll())[0] == 400
        assert (await client.post("4x"))[0] == 400
        peer.send("4still")
        assert await peer.receive() == "4still"


async def test_a_waiting_poll_is_answered_with_a_noop() -> None:
    async with serve() as rig, polling(rig.port) as client:
        poll = await waiting_poll(rig, client)
        async with websocket(rig.port, sid=client.sid) as peer:
            await probe(peer)
            assert await poll == (200, "6")


async def test_what_is_sent_meanwhile_follows_on_the_websocket_in_order() -> None:
    async with serve() as rig, polling(rig.port) as client, websocket(rig.port, sid=client.sid) as peer:
        await probe(peer)
        rig.socket.send_text("a")
        rig.socket.send_binary(b"b")
        peer.send("5")
        peer.send("4c")
        assert [await peer.receive() for _ in range(3)] == ["4a", b"b", "4c"]


async def test_a_poll_during_the_upgrade_takes_what_waits() -> None:
    async with serve() as rig, polling(rig.port) as client, websocket(rig.port, sid=client.sid) as peer:
        await probe(peer)
        rig.socket.send_text("a")
        assert await client.poll() == (200, "4a")
        rig.socket.send_text("b")
        peer.send("5")
        assert await peer.receive() == "4b"


async def test_nothing_is_lost_or_doubled_under_traffic() -> None:
    async with serve(ping_interval_s=300.0) as rig, polling(rig.port) as client:
        got: list[str] = []
        sent = 0

        async def traffic() -> None:
            nonlocal sent
            while sent < 3000:
                rig.socket.send_text(str(sent))
                sent += 1
                await asyncio.sleep(0)

        async def polls() -> None:
            while True:
                _, body = await client.poll()
                got.extend(packet[1:] for packet in packets_of(body) if packet[0] == "4")
                if paused.is_set():
                    return

        paused = asyncio.Event()
        source, loop = asyncio.create_task(traffic()), asyncio.create_task(polls())
        while sent <= 500:
            await asyncio.sleep(0)
        async with websocket(rig.port, sid=client.sid) as peer:
            await probe(peer)
            paused.set()
            await loop
            peer.send("5")
            while len(got) < 3000:
                got.append(str(await peer.receive())[1:])
            await source
        assert got == [str(number) for number in range(3000)]


async def test_messages_before_and_after_the_change_are_handled_in_order() -> None:
    async with serve() as rig, polling(rig.port) as client, websocket(rig.port, sid=client.sid) as peer:
        await client.post("4a\x1e4b")
        await probe(peer)
        await client.post("4c")
        peer.raw(frame(TEXT, b"5") + frame(TEXT, b"4d"))
        await until(lambda: rig.notes.received == ["a", "b", "c", "d"])


@pytest.mark.parametrize("messages", [["4x"], ["5"], ["2probe", "2probe"], ["3probe"], ["2probe", "4x"]])
async def test_a_websocket_that_does_not_keep_to_the_steps_is_closed(messages: list[str]) -> None:
    async with serve() as rig, polling(rig.port) as client, websocket(rig.port, sid=client.sid) as peer:
        for message in messages:
            peer.send(message)
        await peer.close_code()
        assert not rig.socket.closed
        assert rig.socket.transport == "polling"
        rig.socket.send_text("here")
        assert await client.poll() == (200, "4here")


async def test_an_upgrade_that_breaks_off_leaves_the_session_polling() -> None:
    async with serve() as rig, polling(rig.port) as client:
        async with websocket(rig.port, sid=client.sid) as peer:
            await probe(peer)
            peer.abort()
            await until(lambda: rig.socket.candidate is None)
        poll = await waiting_poll(rig, client)
        rig.socket.send_text("a")
        assert await poll == (200, "4a")
        async with websocket(rig.port, sid=client.sid) as peer:
            await probe(peer)


async def test_an_upgrade_that_takes_too_long_is_given_up() -> None:
    async with serve(upgrade_timeout_s=0.05) as rig, polling(rig.port) as client:
        async with websocket(rig.port, sid=client.sid) as peer:
            await probe(peer)
            await peer.close_code()
        assert rig.socket.transport == "polling"
        assert not rig.socket.closed


async def test_only_one_upgrade_at_a_time() -> None:
    async with serve() as rig, polling(rig.port) as client, websocket(rig.port, sid=client.sid) as first:
        async with websocket(rig.port, sid=client.sid) as second:
            assert await second.close_code() == 1008
        await probe(first)
        first.send("5")
        first.send("4x")
        assert await first.receive() == "4x"


async def test_the_websocket_goes_with_the_session() -> None:
    async with serve() as rig, polling(rig.port) as client, websocket(rig.port, sid=client.sid) as peer:
        await probe(peer)
        rig.socket.close()
        await peer.close_code()
        await peer.eof()
        await until(rig.idle)
        assert rig.reasons == [CloseReason.SERVER]


async def test_upgrades_can_be_switched_off() -> None:
    async with serve(allow_upgrades=False) as rig, polling(rig.port) as client:
        assert client.session["upgrades"] == []
        async with websocket(rig.port, sid=client.sid) as peer:
            assert peer.status == 400


async def test_an_unknown_session_is_refused_with_an_http_status() -> None:
    async with serve() as rig, websocket(rig.port, sid="unknown") as peer:
        assert peer.status == 400
