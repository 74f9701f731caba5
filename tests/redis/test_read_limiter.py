"""How many large answers are under way at a time, and whose turn is next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.redis.read_limiter import FIRST_GUESS_BYTES, ReadLimiter
from tests.support.waiting import until


class Readers:
    """Readers of one budget: `going` have their turn and keep it until they are let go."""

    def __init__(self, budget: ReadLimiter) -> None:
        self.budget = budget
        self.came: list[str] = []
        self.going: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, *names: str, is_urgent: bool = False) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self._read(name, is_urgent=is_urgent))
            await asyncio.sleep(0)

    async def _read(self, name: str, *, is_urgent: bool) -> None:
        async with self.budget.turn(name, is_urgent=is_urgent):
            self.came.append(name)
            self.going[name] = asyncio.Event()
            try:
                await self.going[name].wait()
            finally:
                del self.going[name]

    async def end(self, *names: str) -> None:
        for name in names or tuple(self.going):
            self.going[name].set()
            await self.tasks[name]

    async def end_all(self) -> None:
        while not all(task.done() for task in self.tasks.values()):
            await until(lambda: bool(self.going))
            await self.end()


Make = Callable[..., Readers]


@pytest.fixture
def readers() -> Make:
    def make(most: int, most_bytes: int = 1 << 20) -> Readers:
        budget = ReadLimiter(most_bytes, most)
        for _ in range(30):
            budget.note(1)
        return Readers(budget)

    return make


async def test_so_many_at_a_time_and_first_come_first_served(readers: Make) -> None:
    some = readers(most=2)
    await some.begin("a", "b", "c", "d")
    assert some.came == ["a", "b"]
    await some.end("b")
    await until(lambda: some.came == ["a", "b", "c"])
    await some.end_all()
    assert some.came == ["a", "b", "c", "d"]


async def test_large_answers_go_one_by_one_and_one_always_goes(readers: Make) -> None:
    some = readers(most_bytes=100, most=8)
    some.budget.note(1000)
    await some.begin("a", "b", "c")
    assert some.came == ["a"]
    await some.end_all()
    assert some.came == ["a", "b", "c"]


async def test_while_nothing_is_known_an_answer_is_taken_for_a_large_one() -> None:
    some = Readers(ReadLimiter(most_bytes=2 * FIRST_GUESS_BYTES, most=8))
    await some.begin("a", "b", "c")
    assert some.came == ["a", "b"]
    await some.end_all()


async def test_who_is_in_a_hurry_comes_before_all_others(readers: Make) -> None:
    some = readers(most=1)
    await some.begin("a", "b", "c", "d")
    await some.begin("e", is_urgent=True)
    some.budget.hurry("d")
    some.budget.hurry("a")
    some.budget.hurry("nobody")
    await some.end_all()
    assert some.came == ["a", "e", "d", "b", "c"]


async def test_who_gives_up_takes_no_turn(readers: Make) -> None:
    some = readers(most=1)
    await some.begin("a", "b", "c", "d")
    some.budget.hurry("c")
    for name in ("b", "c"):
        some.tasks[name].cancel()
    await asyncio.gather(some.tasks["b"], some.tasks["c"], return_exceptions=True)
    await some.end("a")
    await until(lambda: some.came == ["a", "d"])
    await some.end("d")


async def test_who_gives_up_at_the_moment_of_its_turn_passes_it_on(readers: Make) -> None:
    some = readers(most=1)
    async with some.budget.turn("a"):
        await some.begin("b", "c")
    some.tasks["b"].cancel()
    await until(lambda: some.came == ["c"])
    await some.end("c")


async def test_who_comes_again_under_the_name_of_one_that_gave_up_has_its_own_turn(readers: Make) -> None:
    some = readers(most=1)
    await some.begin("a", "b")
    some.tasks["b"].cancel()
    await some.begin("b")
    await some.end("a")
    await until(lambda: some.came == ["a", "b"])
    await some.end("b")
