"""A session that sends too much."""

import asyncio
from typing import Any

import pytest

from gateway.engine import CloseCode, CloseReason, EngineSocket
from gateway.engine.reader import BINARY, PING, PONG, TEXT
from tests.engine.rig import Rig, serve
from tests.support.polling import polling
from tests.support.waiting import until
from tests.support.websocket import Peer, frame, opened, websocket

# So slow that nothing is added while a test runs.
FEW: dict[str, Any] = {"messages_per_s": 0.001, "messages_burst": 10}
SMALL = frame(TEXT, b"4x")


async def received(rig: Rig, peer: Peer, count: int = 1) -> None:
    """Send so many small messages, and wait until they have come."""
    total = len(rig.notes.received) + count
    peer.raw(SMALL * count)
    await until(lambda: len(rig.notes.received) == total)


async def test_a_session_is_over_beyond_its_burst_and_closed_beyond_twice_that() -> None:
    seen: list[bool] = []

    def receiver(socket: EngineSocket, data: str | bytes) -> None:
        seen.append(socket.over)

    async with serve(receiver=receiver, **FEW) as rig, opened(rig.port) as peer:
        peer.raw(SMALL * 100)
        assert await peer.close_code() == CloseCode.POLICY
        assert peer.reason == "too many messages"
        await until(lambda: rig.reasons == [CloseReason.FLOOD])
        assert seen == [False] * 10 + [True] * 10
        assert rig.engine.stats.limited == {"events_per_s": 11, "events_burst": 1}
        (line,) = rig.notes.logged
        assert (line[0], line[1]["remote"]) == ("engine_bad_peer", "127.0.0.1")


async def test_a_session_that_slows_down_goes_on() -> None:
    async with serve(messages_per_s=100, messages_burst=5) as rig, opened(rig.port) as peer:
        peer.raw(SMALL * 9)
        await until(lambda: rig.socket.over)
        assert rig.socket.wait_s > 0
        await until(lambda: rig.socket.wait_s < 0)
        peer.send("4y")
        await until(lambda: len(rig.notes.received) == 10)
        assert not rig.socket.over


@pytest.mark.parametrize(
    "packet",
    [
        *(frame(PING, b""), frame(PONG, b"unasked"), frame(TEXT, b"3")),
        *(frame(TEXT, b"6"), frame(TEXT, b"4"), frame(BINARY, b"bytes")),
    ],
    ids=["ping", "pong", "engine's pong", "noop", "text", "bytes"],
)
async def test_everything_counts(packet: bytes) -> None:
    async with serve(**FEW) as rig, opened(rig.port) as peer:
        peer.raw(packet * 21)
        assert await peer.close_code() == CloseCode.POLICY
        await until(lambda: rig.reasons == [CloseReason.FLOOD])


async def test_long_polling_counts_the_same() -> None:
    async with serve(**FEW) as rig, polling(rig.port) as client:
        poll = asyncio.create_task(client.poll())
        assert (await client.post("\x1e".join(["4x"] * 100)))[0] == 200
        await poll
        assert len(rig.notes.received) == 20
        await until(lambda: rig.reasons == [CloseReason.FLOOD])


async def test_a_large_message_counts_once_for_each_16_kib() -> None:
    async with serve(**FEW) as rig, opened(rig.port) as peer:
        peer.send("4" + "x" * 100_000)
        peer.raw(SMALL * 4)
        await until(lambda: len(rig.notes.received) == 5)
        assert rig.socket.over


async def test_one_message_may_take_all_but_no_more() -> None:
    async with serve(**FEW) as rig, opened(rig.port) as peer:
        peer.send("4" + "x" * 900_000)
        await until(lambda: len(rig.notes.received) == 1)
        assert not rig.socket.over
        assert not rig.socket.closed


async def test_messages_that_wait_are_counted_when_their_turn_comes() -> None:
    release = asyncio.Event()
    seen: list[bool] = []

    async def receiver(socket: EngineSocket, data: str | bytes) -> None:
        seen.append(socket.over)
        await release.wait()

    async with serve(receiver=receiver, **FEW) as rig, opened(rig.port) as peer:
        peer.raw(SMALL * 12)
        await until(lambda: seen)
        release.set()
        await until(lambda: len(seen) == 12)
        assert seen == [False] * 10 + [True] * 2
        assert not rig.socket.closed


async def test_a_candidate_of_an_upgrade_counts_for_its_session() -> None:
    async with serve(**FEW) as rig, polling(rig.port) as client, websocket(rig.port, sid=client.sid) as peer:
        peer.raw(frame(PING, b"") * 30)
        await until(lambda: rig.reasons == [CloseReason.FLOOD])
        await peer.close_code()


async def test_without_a_rate_there_is_no_limit() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        await received(rig, peer, 3000)
        assert not rig.socket.over


async def test_what_an_answer_costs_is_taken_from_what_may_be_sent() -> None:
    async with serve(**FEW) as rig, opened(rig.port) as peer:
        await received(rig, peer)
        rig.socket.spend(5)
        await received(rig, peer, 4)
        assert not rig.socket.over
        await received(rig, peer)
        assert rig.socket.over


async def test_a_debt_closes_nobody_but_who_goes_on_sending() -> None:
    seen: list[bool] = []

    def receiver(socket: EngineSocket, data: str | bytes) -> None:
        seen.append(socket.over)

    async with serve(receiver=receiver, **FEW) as rig, opened(rig.port) as peer:
        peer.raw(SMALL * 10)
        await until(lambda: len(seen) == 10)
        # Twice a burst, which messages alone would be closed for.
        rig.socket.spend(10)
        peer.raw(SMALL * 10)
        await until(lambda: len(seen) == 20)
        assert seen == [False] * 10 + [True] * 10
        assert rig.engine.stats.limited["events_burst"] == 0
        peer.send("4x")
        assert await peer.close_code() == CloseCode.POLICY


async def test_answers_one_after_the_other_do_not_make_room_for_a_flood() -> None:
    async with serve(**FEW) as rig, opened(rig.port) as peer:
        await received(rig, peer)
        for _ in range(100):
            rig.socket._full_at = rig.socket.context.clock()
            rig.socket.spend(10)
        peer.raw(SMALL * 21)
        assert await peer.close_code() == CloseCode.POLICY


async def test_one_answer_takes_all_but_no_more() -> None:
    async with serve(**FEW) as rig, opened(rig.port) as peer:
        await received(rig, peer)
        rig.socket.spend(1_000_000)
        assert 0 <= rig.socket.wait_s <= 2.1 / FEW["messages_per_s"]


async def test_without_a_rate_nothing_is_spent() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        await received(rig, peer)
        rig.socket.spend(1_000_000)
        assert rig.socket.wait_s == 0.0
