"""Everything that parses, under atheris: shortly and always the same; `python -m tests.fuzz` takes longer."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tests.support.environment import clean_environment, finished

RUNS = 50_000


@pytest.mark.parametrize("name", TARGETS)
def test_the_inputs_to_begin_from_are_good(name: str) -> None:
    function, seeds = TARGETS[name]
    for seed in seeds:
        function(seed)
    assert seeds


@pytest.mark.parametrize("name", TARGETS)
def test_hypothesis_finds_nothing(name: str) -> None:
    @given(st.binary() | st.text().map(str.encode))
    def feed(data: bytes) -> None:
        TARGETS[name][0](data)

    feed()


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this platform")
def test_atheris_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "all", "--runs", str(RUNS), "--seed", "7"]
    done = finished(command, cwd=tmp_path, env=clean_environment())
    assert done.returncode == 0, done.stderr[-8000:]
    assert f"Done {RUNS} runs" in done.stderr
