"""The list of mutants is up to date."""

from __future__ import annotations

import ast
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.simulation import mutants
from tests.simulation.mutants import Mutant

MUTANTS = mutants.read()
LUA: Any = import_module("lupa.lua51").LuaRuntime()


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_mutant_can_be_planted(mutant: Mutant) -> None:
    source = mutant.source()
    assert source != (mutants.ROOT / mutant.path).read_text()
    assert "\n" not in mutant.text
    if mutant.path.endswith(".py"):
        ast.parse(source)
    else:
        LUA.compile(source)


def test_each_mutant_has_a_name_of_its_own() -> None:
    assert {name: times for name, times in Counter(m.name for m in MUTANTS).items() if times > 1} == {}
    assert len({mutant[1:] for mutant in MUTANTS}) == len(MUTANTS) >= 60


def test_a_text_that_is_not_there_or_not_only_once_is_an_error() -> None:
    mutant = Mutant("some", "publisher/wire.lua", 0, "no such text", "")
    with pytest.raises(ValueError, match="0 times"):
        mutant.source()
    with pytest.raises(ValueError, match="times"):
        mutant._replace(text="local").source()
    with pytest.raises(ValueError, match="times"):
        mutant._replace(text="local", nth=99).source()
    assert mutant._replace(text="local", nth=2).source() != mutant._replace(text="local", nth=1).source()


def test_only_the_changed_file_is_not_a_link(tmp_path: Path) -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.path.startswith("gateway/rooms/"))
    mutants.plant(mutant, tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files == [tmp_path / mutant.path]
    assert (tmp_path / "tests/simulation/run.py").is_file()
    assert (tmp_path / "gateway/rooms/logs.py").is_symlink()
    assert files[0].read_text() == mutant.source()
