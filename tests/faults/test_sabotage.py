"""The whole harness finds a gateway at fault: here the clients make it so, by what they claim to have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from publisher import parse_offset
from tests.faults.ground import Terrain
from tests.faults.rows import Result, Row, run
from tests.faults.stage import SHORT, Stage
from tests.faults.watcher import Watcher

pytestmark = pytest.mark.timeout(300)


async def _played(play: Callable[[Stage], Awaitable[None]], folder: Path) -> Result:
    terrain = Terrain(replicas=1)
    row = Row("sabotage", play, terrain, frozenset(), harmless=False, long=False)
    return await run(row, SHORT, 1, folder)


async def _missed_five(stage: Stage) -> Watcher:
    await stage.open(rate=0, clients=2, stay=False)
    watcher = stage.watchers[0]
    watcher.drop()
    await watcher.dropped()
    await stage.backends[0].burst(watcher.tenant, f"user:{watcher.user}", times=5)
    return watcher


async def test_a_gateway_that_leaves_events_out_fails_the_row(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        watcher = await _missed_five(stage)
        third = [event.offset for event in stage.backends[0].published.values()][2]
        watcher.offset = third
        await watcher.come_back()

    result = await _played(play, tmp_path)
    assert (len(result.verdict.lost), result.verdict.twice, result.holds) == (3, [], False)


async def test_a_gateway_that_repeats_events_fails_the_row(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        watcher = await _missed_five(stage)
        before = watcher.offset
        assert before is not None
        await watcher.come_back()
        watcher.drop()
        await watcher.dropped()
        watcher.offset = before
        assert parse_offset(before)
        await watcher.come_back()

    result = await _played(play, tmp_path)
    assert (result.verdict.lost, len(result.verdict.twice), result.holds) == ([], 5, False)


async def test_a_replica_that_logs_a_traceback_fails_the_row(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.open(clients=2)
        await stage.published(10)
        with stage.ground.replicas[0].log.open("a") as log:
            log.write("Traceback (most recent call last):\n")

    result = await _played(play, tmp_path)
    assert result.verdict.is_clean
    assert not result.holds


async def test_a_row_in_which_nobody_was_owed_anything_fails(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        raise AssertionError("the fault could not be made")

    result = await _played(play, tmp_path)
    assert not result.holds
