"""Three replicas, or three workers, restarted one after the other under traffic, behind the real proxies."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.deploy.rolling import ROWS, SHORT, roll
from tests.faults.table import cells

pytestmark = pytest.mark.timeout(600)

# `python -m tests.deploy.rolling` runs all; `test_proxies.py` has nginx as it is, and Traefik.
NAMES = ["nginx-in-turns", "nginx-workers", "haproxy"]


@pytest.mark.parametrize("name", NAMES)
async def test_nobody_misses_anything_in_a_rolling_restart(name: str, tmp_path: Path) -> None:
    ROWS[name][3].find()
    result = await roll(name, SHORT, seed := random.randrange(1 << 20), tmp_path)
    shown = "\n".join([" | ".join(cells(result)), *result.troubles, *result.verdict.findings(), *result.notes])
    assert result.holds, f"replay: python -m tests.deploy.rolling --short --seed {seed} {name}\n{shown}"
    assert result.verdict.told == 0, shown
    assert result.verdict.recovered == result.comebacks >= SHORT.clients, shown
