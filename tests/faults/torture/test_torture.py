"""A short torture: nothing lost, doubled, out of order or untold; `tests.faults.torture` runs long ones, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.torture.test_trial import shown
from tests.faults.torture.trial import Scale, Trial

SEED = 20

pytestmark = pytest.mark.timeout(600)


async def test_everyone_gets_everything_once_and_in_order_or_is_told(tmp_path: Path) -> None:
    outcome = await Trial(SEED, Scale(20, tabs=14, rate=25.0), tmp_path).run()
    replay = f"python -m tests.faults torture --seed {SEED} --minutes 0.34 --tabs 14 --rate 25"
    assert outcome.holds, f"replay: {replay}\n{outcome.log.read_text()[:20_000]}\n{shown(outcome)}"
    assert outcome.verdict.owed > 100
