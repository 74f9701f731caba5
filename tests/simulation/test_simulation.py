"""The simulation itself: what once failed holds, and the same seed gives the same trace."""

from __future__ import annotations

import re
import sys

import pytest

from tests.simulation.plan import RACES, STORIES
from tests.support.environment import ROOT, clean_environment, finished

LIMIT_S = 900.0


def simulation(*words: str) -> str:
    """Run the command in a process of its own, whose clocks it replaces; return what it printed."""
    command = [sys.executable, "-m", "tests.simulation", *words]
    done = finished(command, cwd=ROOT, env=clean_environment(), timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def hashes(printed: str) -> list[str]:
    return re.findall(r"^\d+ [0-9a-f]{8}$", printed, re.MULTILINE)


@pytest.mark.timeout(LIMIT_S)
def test_seeds_that_once_failed_hold() -> None:
    assert " 0 fail" in simulation("--corpus")


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.parametrize("seed", [9, RACES + 2, STORIES + 2])
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    """Whether it is run first or after others, and in whichever process."""
    alone, after_others = (
        simulation(f"--first={seed}", "--seeds=1", "--hashes"),
        simulation(f"--first={seed - 2}", "--seeds=3", "--hashes"),
    )
    assert len(hashes(after_others)) == 3
    assert hashes(alone) == hashes(after_others)[-1:]
