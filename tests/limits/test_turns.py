"""Turns are shared out between keys; any order of taking, giving back and giving up keeps the rules."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.turns import TooManyWaiting, Turns

TOTAL = 8


class Takers:
    """Tasks that take turns and keep them until they are told to give them back."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.holding: list[str] = []
        self.tasks: list[tuple[str, asyncio.Task[None], asyncio.Event]] = []

    def come(self, key: str, count: int = 1) -> None:
        for _ in range(count):
            done = asyncio.Event()
            self.tasks.append((key, asyncio.ensure_future(self._hold(key, done)), done))

    async def _hold(self, key: str, done: asyncio.Event) -> None:
        async with self.turns.turn(key):
            self.holding.append(key)
            try:
                await done.wait()
            finally:
                self.holding.remove(key)

    async def settle(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)
        self.tasks = [entry for entry in self.tasks if not entry[1].done()]

    async def end(self) -> None:
        for _, _, done in self.tasks:
            done.set()
        await asyncio.gather(*(task for _, task, _ in self.tasks), return_exceptions=True)


async def test_one_key_has_half_and_leaves_the_rest_to_who_comes() -> None:
    takers = Takers(Turns(TOTAL, 100))
    takers.come("loud", 50)
    await takers.settle()
    assert Counter(takers.holding) == {"loud": TOTAL // 2}
    assert takers.turns.waiting == 50 - TOTAL // 2
    takers.come("calm")
    await takers.settle()
    assert Counter(takers.holding) == {"loud": TOTAL // 2, "calm": 1}
    await takers.end()


async def test_a_key_has_no_more_than_it_may() -> None:
    takers = Takers(Turns(TOTAL, 100, each=2))
    takers.come("loud", 50)
    await takers.settle()
    assert Counter(takers.holding) == {"loud": 2}
    await takers.end()


async def test_keys_that_wait_go_round() -> None:
    takers = Takers(Turns(1, 100))
    takers.come("first")
    await takers.settle()
    for key in ("loud", "loud", "loud", "calm"):
        takers.come(key)
        await takers.settle()
    seen = []
    for _ in range(5):
        seen += takers.holding
        key = takers.holding[0]
        next(done for held, _, done in takers.tasks if held == key).set()
        await takers.settle()
    assert seen == ["first", "loud", "calm", "loud", "loud"]


async def test_as_many_wait_as_may() -> None:
    takers = Takers(Turns(2, 3))
    takers.come("loud", 4)
    await takers.settle()
    with pytest.raises(TooManyWaiting):
        await takers.turns.acquire("loud")
    await takers.turns.acquire("calm")
    takers.turns.give_back("calm")
    await takers.end()


STEP = st.tuples(st.sampled_from("tgc"), st.integers(0, 30))


@given(st.lists(st.lists(STEP, min_size=1, max_size=4)), st.integers(1, 5))
def test_whatever_happens_no_turn_is_lost_and_nobody_waits_who_need_not(
    rounds: list[list[tuple[str, int]]], total: int
) -> None:
    """Steps of one round happen in one turn of the loop."""

    async def play() -> None:
        turns = Turns(total, 100)
        takers = Takers(turns)
        for steps in rounds:
            tasks = [*takers.tasks]
            for what, number in steps:
                if what == "t":
                    takers.come("abc"[number % 3])
                elif tasks:
                    _, task, done = tasks[number % len(tasks)]
                    if what == "g":
                        done.set()
                    else:
                        task.cancel()
            await takers.settle()
            held, free = Counter(takers.holding), total - len(takers.holding)
            assert turns._free == free >= 0
            assert turns.waiting == len(takers.tasks) - len(takers.holding)
            assert not any(held[key] < free for key in turns._queues)
        await takers.end()
        assert (turns._free, turns.waiting, turns._taken, turns._queues) == (total, 0, {}, {})

    asyncio.run(play())
