"""A session that sends too much."""

import asyncio
from typing import Any

import pytest

from gateway.engine import CloseCode, CloseReason, EngineSocket
from gateway.engine.reader import PING, PONG
from tests.engine.rig import serve
from tests.engine.wire import eventually, frame, opened, polling, websocket

# So slow that nothing is added while a test runs.
FEW: dict[str, Any] = {"messages_per_s": 0.001, "messages_burst": 10}


async def test_a_session_is_over_beyond_its_burst_and_closed_beyond_twice_that() -> None:
    seen: list[bool] = []

    def receiver(socket: EngineSocket, data: str | bytes) -> None:
        seen.append(socket.over)

    async with serve(receiver=receiver, **FEW) as rig, opened(rig.port) as peer:
        for _ in range(100):
            peer.send("4x")
        assert await peer.close_code() == CloseCode.POLICY
        assert peer.reason == "too many messages"
        await eventually(lambda: rig.reasons == [CloseReason.FLOOD])
        assert seen == [False] * 10 + [True] * 10
        assert rig.engine.stats.limited == {"events_per_s": 11, "events_burst": 1}
        (line,) = rig.notes.logged
        assert (line[0], line[1]["remote"]) == ("engine_bad_peer", "127.0.0.1")


async def test_a_session_that_slows_down_goes_on() -> None:
    async with serve(messages_per_s=100, messages_burst=5) as rig, opened(rig.port) as peer:
        for _ in range(9):
            peer.send("4x")
        await eventually(lambda: rig.socket.over)
        assert rig.socket.wait_s > 0
        await eventually(lambda: rig.socket.wait_s < 0)
        peer.send("4y")
        await eventually(lambda: len(rig.notes.received) == 10)
        assert not rig.socket.over


@pytest.mark.parametrize(
    "packet",
    [
        frame(PING, b""),
        frame(PONG, b"unasked"),
        frame(1, b"3"),
        frame(1, b"6"),
        frame(1, b"4"),
        frame(2, b"bytes"),
    ],
    ids=["ping", "pong", "engine's pong", "noop", "text", "bytes"],
)
async def test_everything_counts(packet: bytes) -> None:
    async with serve(**FEW) as rig, opened(rig.port) as peer:
        peer.raw(packet * 21)
        assert await peer.close_code() == CloseCode.POLICY
        await eventually(lambda: rig.reasons == [CloseReason.FLOOD])


async def test_long_polling_counts_the_same() -> None:
    async with serve(**FEW) as rig, polling(rig.port) as client:
        poll = asyncio.create_task(client.poll())
        assert (await client.post("\x1e".join(["4x"] * 100)))[0] == 200
        await poll
        assert len(rig.notes.received) == 20
        await eventually(lambda: rig.reasons == [CloseReason.FLOOD])


async def test_a_large_message_counts_once_for_each_16_kib() -> None:
    async with serve(**FEW) as rig, opened(rig.port) as peer:
        peer.send("4" + "x" * 100_000)
        for _ in range(4):
            peer.send("4x")
        await eventually(lambda: len(rig.notes.received) == 5)
        assert rig.socket.over


async def test_one_message_may_take_all_but_no_more() -> None:
    async with serve(**FEW) as rig, opened(rig.port) as peer:
        peer.send("4" + "x" * 900_000)
        await eventually(lambda: len(rig.notes.received) == 1)
        assert not rig.socket.over
        assert not rig.socket.closed


async def test_messages_that_wait_are_counted_when_their_turn_comes() -> None:
    release = asyncio.Event()
    seen: list[bool] = []

    async def receiver(socket: EngineSocket, data: str | bytes) -> None:
        seen.append(socket.over)
        await release.wait()

    async with serve(receiver=receiver, **FEW) as rig, opened(rig.port) as peer:
        for _ in range(12):
            peer.send("4x")
        await eventually(lambda: seen)
        release.set()
        await eventually(lambda: len(seen) == 12)
        assert seen == [False] * 10 + [True] * 2
        assert not rig.socket.closed


async def test_a_candidate_of_an_upgrade_counts_for_its_session() -> None:
    async with serve(**FEW) as rig, polling(rig.port) as client, websocket(rig.port, sid=client.sid) as peer:
        peer.raw(frame(PING, b"") * 30)
        await eventually(lambda: rig.reasons == [CloseReason.FLOOD])
        await peer.close_code()


async def test_without_a_rate_there_is_no_limit() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        for _ in range(3000):
            peer.send("4x")
        await eventually(lambda: len(rig.notes.received) == 3000)
        assert not rig.socket.over


async def test_what_an_answer_costs_is_taken_from_what_may_be_sent() -> None:
    async with serve(**FEW) as rig, opened(rig.port) as peer:
        peer.send("4x")
        await eventually(lambda: len(rig.notes.received) == 1)
        rig.socket.spend(5)
        for _ in range(4):
            peer.send("4x")
        await eventually(lambda: len(rig.notes.received) == 5)
        assert not rig.socket.over
        peer.send("4x")
        await eventually(lambda: len(rig.notes.received) == 6)
        assert rig.socket.over


async def test_a_debt_closes_nobody_but_who_goes_on_sending() -> None:
    seen: list[bool] = []

    def receiver(socket: EngineSocket, data: str | bytes) -> None:
        seen.append(socket.over)

    async with serve(receiver=receiver, **FEW) as rig, opened(rig.port) as peer:
        for _ in range(10):
            peer.send("4x")
        await eventually(lambda: len(seen) == 10)
        # Twice a burst, which messages alone would be closed for.
        rig.socket.spend(10)
        for _ in range(10):
            peer.send("4x")
        await eventually(lambda: len(seen) == 20)
        assert seen == [False] * 10 + [True] * 10
        assert rig.engine.stats.limited["events_burst"] == 0
        peer.send("4x")
        assert await peer.close_code() == CloseCode.POLICY


async def test_answers_one_after_the_other_do_not_make_room_for_a_flood() -> None:
    async with serve(**FEW) as rig, opened(rig.port) as peer:
        peer.send("4x")
        await eventually(lambda: len(rig.notes.received) == 1)
        for _ in range(100):
            rig.socket._full_at = rig.socket.context.clock()
            rig.socket.spend(10)
        for _ in range(21):
            peer.send("4x")
        assert await peer.close_code() == CloseCode.POLICY


async def test_one_answer_takes_all_but_no_more() -> None:
    async with serve(**FEW) as rig, opened(rig.port) as peer:
        peer.send("4x")
        await eventually(lambda: len(rig.notes.received) == 1)
        rig.socket.spend(1_000_000)
        assert 0 <= rig.socket.wait_s <= 2.1 / FEW["messages_per_s"]


async def test_without_a_rate_nothing_is_spent() -> None:
    async with serve() as rig, opened(rig.port) as peer:
        peer.send("4x")
        await eventually(lambda: len(rig.notes.received) == 1)
        rig.socket.spend(1_000_000)
        assert rig.socket.wait_s == 0.0
