"""How much of one socket is handled in a row."""

import asyncio
from collections import Counter

import pytest

from gateway.engine import EngineSocket
from gateway.engine.fairness import TURN, share
from gateway.engine.reader import CONTINUATION, TEXT
from tests.engine.rig import serve
from tests.support.waiting import until
from tests.support.websocket import frame, opened

SMALL = frame(TEXT, b"4x")
LARGE = frame(TEXT, b"4" + b"x" * 20_000)
IN_PARTS = frame(TEXT, b"4", fin=False) + frame(CONTINUATION, b"", fin=False) * 1000 + frame(CONTINUATION, b"")


def test_a_message_takes_more_of_a_turn_the_larger_it_is_and_the_more_frames_it_came_in() -> None:
    assert share("4x") == 1
    assert share("x" * 100_000) > TURN
    assert share("4x", frames=1000) > TURN
    assert share("4x", frames=2) == 1


@pytest.mark.parametrize(
    ("message", "most"), [(SMALL, TURN), (LARGE, 4), (IN_PARTS, 1)], ids=["small", "large", "in parts"]
)
async def test_the_others_get_their_turn(message: bytes, most: int) -> None:
    turn, seen = 0, Counter[int]()

    def receiver(socket: EngineSocket, data: str | bytes) -> None:
        seen[turn] += 1

    def tick() -> None:
        nonlocal turn
        turn += 1
        ticking[0] = asyncio.get_running_loop().call_soon(tick)

    async with serve(receiver=receiver) as rig, opened(rig.port) as peer:
        ticking = [asyncio.get_running_loop().call_soon(tick)]
        peer.raw(message * 100)
        await until(lambda: seen.total() == 100)
        ticking[0].cancel()
        # What was held up and what has just come may be in one turn of the loop.
        assert max(seen.values()) <= 2 * most
