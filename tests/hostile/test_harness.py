"""The harness finds what it looks for: a loop that stands still, neighbours that lose something, unmet claims."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest

from publisher import conversation
from tests.hostile.arena import Arena
from tests.hostile.cases import Case, Stage, run
from tests.support.tokens import new_id

STALL_S = 0.3


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    arena = Arena(tmp_path_factory.mktemp("arena"), {}).start()
    yield arena
    arena.close()


async def troubles(arena: Arena, attack: object) -> list[str]:
    case = Case("", attack, "", "", {}, memory_mib=12.0, log_kib=1.0)  # type: ignore[arg-type]
    return (await run(case, arena, full=False)).troubles


async def test_nothing_is_found_where_nothing_is(arena: Arena) -> None:
    async def rest(stage: Stage) -> None:
        pass

    assert await troubles(arena, rest) == []


async def test_a_loop_that_stands_still_is_seen(arena: Arena) -> None:
    await arena.begin()
    arena.replica.pause()
    await asyncio.sleep(STALL_S)  # the stall itself
    arena.replica.resume()
    cost = await arena.end()
    assert cost.neighbours.worst_ms >= STALL_S * 1000 * 0.9
    assert cost.neighbours.unharmed


async def test_an_event_that_comes_twice_and_out_of_order_is_seen(arena: Arena) -> None:
    async def repeat(stage: Stage) -> None:
        neighbours = stage.arena.neighbours
        async with stage.backend() as publisher:
            for _ in range(2):
                room = conversation(neighbours.conversation)
                await publisher.emit(neighbours.tenant, "tick", {"n": 1_000_000}, to=room)

    (found,) = await troubles(arena, repeat)
    # Twelve where an event of the neighbours' own came between the two.
    assert re.search("0 lost, 6 twice, (6|12) out of order, 0 drops", found)


async def test_an_attack_that_fails_its_own_claim_is_seen(arena: Arena) -> None:
    async def fail(stage: Stage) -> None:
        raise AssertionError(new_id())

    assert len(await troubles(arena, fail)) == 1


async def test_neighbours_that_are_disconnected_are_seen(arena: Arena) -> None:
    async def disconnect(stage: Stage) -> None:
        async with stage.backend() as publisher:
            await publisher.disconnect_user(stage.arena.neighbours.tenant, stage.arena.neighbours.user)

    found = await troubles(arena, disconnect)
    assert any("drops" in line for line in found), found
