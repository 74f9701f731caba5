"""Every attack in a small version; `python -m tests.hostile` runs them at full size and prints the table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.attacks import load_all
from tests.hostile.cases import CASES, Case, run
from tests.hostile.pool import Arenas
from tests.hostile.table import cells
from tests.support.alone import alone

load_all()

# The first may have to wait for whoever has the machine.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def arenas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arenas]:
    with alone(tmp_path_factory):
        started = Arenas(tmp_path_factory.mktemp("arenas"), full=False)
        yield started
        troubles = started.close()
    assert not troubles, "\n".join(troubles)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_it_is_stopped_and_the_neighbours_notice_nothing(arenas: Arenas, case: Case) -> None:
    outcome = await run(case, arenas.of(case.settings), full=False)
    assert outcome.holds, "\n".join([*outcome.troubles, *cells(outcome)])
