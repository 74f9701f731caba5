"""Rows: what they are, and how one is run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.checker import Verdict
from tests.faults.ground import Ground, Terrain
from tests.faults.stage import Scale, Stage

Play = Callable[[Stage], Awaitable[None]]

ROWS: list[Row] = []

# A call waits for Redis for 0.25 s; the rest is for a busy machine, beside the time for which all stood still.
SLOWEST_CALL_S = 2.0
# A replica without sockets takes some 65 MiB; no fault may have it keep what nobody takes.
PEAK_MIB = 200.0


@dataclass(frozen=True)
class Row:
    """One fault. `tells` are the reasons for which clients may be told instead of recovered.

    `harmless` rows do nothing to the servers, so that others can share these; `long` ones take their time and
    are begun first. `make test` runs the `real` ones, in a short version: they need real sockets, processes and
    servers, or do what `tests/simulation` does not. `make faults` runs all.
    """

    fault: str
    play: Play
    terrain: Terrain
    tells: frozenset[str]
    harmless: bool
    long: bool
    real: bool = False

    @property
    def name(self) -> str:
        """A short name, for the command line."""
        return self.play.__name__


@dataclass
class Result:
    """What came of a row."""

    row: Row
    seed: int
    acknowledged: int = 0
    comebacks: int = 0
    peak_mib: float = 0.0
    took_s: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)
    notes: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether the row's promise was kept."""
        return self.verdict.is_clean and not self.troubles


def row(
    fault: str,
    *,
    tells: tuple[str, ...] = (),
    harmless: bool = False,
    long: bool = False,
    real: bool = False,
    **terrain: object,
) -> Callable[[Play], Play]:
    """Register a row; `terrain` are the fields of `Terrain`."""

    def register(play: Play) -> Play:
        ground = Terrain(**terrain)  # type: ignore[arg-type]
        ROWS.append(Row(fault, play, ground, frozenset(tells), harmless, long, real))
        return play

    return register


async def run(row: Row, scale: Scale, seed: int, folder: Path, *, ground: Ground | None = None) -> Result:
    """Run a row, on `ground` if that is given; what goes wrong is in the result, nothing is raised."""
    asyncio.get_running_loop().set_debug(False)  # a crowd under load
    result, began = Result(row, seed), time.monotonic()
    here = ground or Ground(folder, row.terrain)
    stage: Stage | None = None
    try:
        if ground is None:
            await here.start()
        stage = Stage(here, scale, seed)
        await row.play(stage)
        await stage.curtain()
    except Exception as error:  # noqa: BLE001  # the table's to show
        result.troubles.append(f"{type(error).__name__}: {error}")
    if stage is not None:
        await _take_down(result, stage)
    here.sample()
    result.peak_mib = here.peak_kib / 1024
    if ground is None:
        result.troubles += await here.stop()
    if result.peak_mib > PEAK_MIB:
        result.troubles.append(f"a replica took {result.peak_mib:.0f} MiB")
    result.took_s = time.monotonic() - began
    return result


async def _take_down(result: Result, stage: Stage) -> None:
    result.acknowledged = stage.acknowledged
    result.comebacks = sum(client.comebacks for client in stage.clients())
    result.verdict, result.notes = stage.verdict, stage.notes
    result.troubles += [line for watcher in stage.watchers for line in watcher.surprises]
    unexpected = set(stage.verdict.reasons) - result.row.tells
    if unexpected:
        result.troubles.append(f"told for {dict(stage.verdict.reasons)}, which this fault is no reason for")
    slowest = max((backend.slowest_s for backend in stage.backends), default=0.0)
    if slowest > SLOWEST_CALL_S:
        result.troubles.append(f"a publisher held its caller up for {slowest:.1f} s")
    if stage.verdict.owed == 0:
        result.troubles.append("nobody was owed anything: nothing was shown")
    try:
        result.troubles += await stage.close()
    except Exception as error:  # noqa: BLE001
        result.troubles.append(f"{type(error).__name__}: {error}")
