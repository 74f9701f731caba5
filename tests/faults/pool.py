"""Running many rows: a few at a time, each in a process of its own, the long ones first."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.faults.ground import Ground, Terrain
from tests.faults.rows import ROWS, Result, Row, run
from tests.faults.scenarios import load_all
from tests.faults.stage import FULL, SHORT

# Two cores' worth: a row keeps about one busy.
JOBS = 2


def run_rows(
    seeds: Mapping[str, int], folder: Path, *, full: bool, jobs: int = JOBS, report: Callable[[Result], None]
) -> list[Result]:
    """Run rows, each with its seed; return their results in the order of the table.

    At full length every row has servers of its own; otherwise those that do no harm share them.
    """
    load_all()
    rows = [row for row in ROWS if row.name in seeds]
    results: dict[str, Result] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures: list[Future[list[Result]]] = [
            pool.submit(_work, [(row.name, seeds[row.name]) for row in group], folder, full)
            for group in _groups(rows, full=full)
        ]
        for future in as_completed(futures):
            for result in future.result():
                results[result.row.name] = result
                report(result)
    return [results[row.name] for row in rows]


def _groups(rows: Iterable[Row], *, full: bool) -> Iterator[list[Row]]:
    rows = sorted(rows, key=lambda row: not row.long)
    sharing = [row for row in rows if row.harmless and not full]
    if sharing:
        yield sharing
    for row in rows:
        if row not in sharing:
            yield [row]


def _work(chosen: list[tuple[str, int]], folder: Path, full: bool) -> list[Result]:
    """Run some rows in this process, on the same servers if they are several."""
    load_all()
    rows = {row.name: row for row in ROWS}
    return asyncio.run(_run_all([(rows[name], seed) for name, seed in chosen], folder, full=full))


async def _run_all(chosen: list[tuple[Row, int]], folder: Path, *, full: bool) -> list[Result]:
    scale = FULL if full else SHORT
    if len(chosen) == 1:
        ((row, seed),) = chosen
        return [await run(row, scale, seed, folder / row.name)]
    ground = await Ground(folder / "shared", Terrain()).start()
    results = [await run(row, scale, seed, folder / "shared", ground=ground) for row, seed in chosen]
    results[-1].troubles += await ground.stop()
    return results
