"""Every key and channel in Redis is listed in one module of its feature, and no other place makes one up."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.environment import ROOT

# Where the keys of a feature are listed, and which other listings its scripts may name keys of.
LISTS = {
    "publisher": ROOT / "publisher" / "wire.py",
    "gateway/presence": ROOT / "gateway" / "presence" / "keys.py",
    "gateway/sessions": ROOT / "gateway" / "sessions" / "keys.py",
    "gateway/peers": ROOT / "gateway" / "peers" / "keys.py",
    "gateway/redis": ROOT / "gateway" / "redis" / "keys.py",
}
MADE_IN_LUA = re.compile(r"prefix \.\. '([a-z]+)")


def listed(path: Path) -> set[str]:
    """The names in a listing: what stands behind the tenant's prefix, up to what varies."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return set(re.findall(r"^\s*rt:(?:\{t\}:)?([a-z]+)", text, re.MULTILINE))


def sources(*endings: str) -> list[Path]:
    folders = [ROOT / "gateway", ROOT / "publisher"]
    found = [path for folder in folders for ending in endings for path in folder.rglob(f"*{ending}")]
    return [path for path in found if "node_modules" not in path.parts]


def literals(path: Path) -> list[str]:
    """The texts of a module but for its docstrings, those in f-strings as well."""
    tree = ast.parse(path.read_text("utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs]
    return [str(node.value, "latin-1") if isinstance(node.value, bytes) else str(node.value) for node in found]


def test_no_key_is_listed_twice() -> None:
    names = [name for path in LISTS.values() for name in listed(path)]
    assert len(names) == len(set(names)) > 20


def test_the_prefix_of_keys_is_written_where_they_are_listed() -> None:
    found = {path for path in sources(".py") for text in literals(path) if re.match(r"rt:", text)}
    assert found == {LISTS["publisher"], LISTS["gateway/peers"], LISTS["gateway/redis"]}


@pytest.mark.parametrize("path", sources(".lua"), ids=lambda path: path.stem)
def test_a_script_names_only_keys_that_are_listed(path: Path) -> None:
    text = re.sub(r"--.*", "", path.read_text("utf-8"))
    assert "rt:" not in text
    assert set(MADE_IN_LUA.findall(text)) <= {name for path in LISTS.values() for name in listed(path)}


def test_every_key_of_presence_is_written_by_its_scripts() -> None:
    made = {name for path in sources(".lua") for name in MADE_IN_LUA.findall(path.read_text("utf-8"))}
    assert listed(LISTS["gateway/presence"]) <= made
