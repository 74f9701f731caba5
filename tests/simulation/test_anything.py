"""Stories of anything hold, with and without a Redis that loses everything."""

from __future__ import annotations

import pytest

from tests.simulation.anything import run_story
from tests.simulation.plan import STORIES

pytestmark = [pytest.mark.simulated, pytest.mark.timeout(300)]


def test_once_in_order_or_told() -> None:
    for seed in range(STORIES, STORIES + 32):
        outcome = run_story(seed)
        assert outcome.holds, (seed, outcome.broken)
