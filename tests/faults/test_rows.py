"""The rows of the fault table that need real things, in a short version; `make faults` runs all at full length.

`tests/simulation` plays most of the others many times over, and `tests/redis_modes` those of Cluster and Sentinel.
"""

from __future__ import annotations

import random

import pytest

from tests.faults.pool import run_rows
from tests.faults.rows import ROWS, Result
from tests.faults.scenarios import load_all
from tests.faults.table import cells
from tests.support.alone import alone

load_all()
NAMES = [row.name for row in ROWS if row.real]
JOBS = 3
"""Rows at the same time: the short ones mostly wait."""

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Run the rows that are asked for, all together."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    chosen = {
        item.callspec.params["name"] for item in items if item.path == request.path and hasattr(item, "callspec")
    }
    seeds = {name: random.randrange(1 << 20) for name in NAMES if name in chosen}
    with alone(tmp_path_factory):
        found = run_rows(seeds, tmp_path_factory.mktemp("rows"), full=False, jobs=JOBS, report=lambda result: None)
    return {result.row.name: result for result in found}


@pytest.mark.parametrize("name", NAMES)
def test_everyone_gets_everything_once_and_in_order_or_is_told(results: dict[str, Result], name: str) -> None:
    result = results[name]
    shown = "\n".join([*result.troubles, *result.verdict.findings(), *result.notes])
    assert result.holds, (
        f"replay: python -m tests.faults --short --seed {result.seed} {name}\n{cells(result)}\n{shown}"
    )
