"""What the pins promise, as far as it can be known without a network.

That everything is pinned and hashed is tested in `test_locks.py`; `make audit` asks for advisories.
"""

from __future__ import annotations

import json
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deploy.test_locks import PROJECT, SERVICE, TESTS, pins
from tests.support.environment import ROOT

# Below these a known hole is open, or a default is one.
FLOORS = {
    "aiohttp": "3.14.4",
    "h11": "0.16",
    "pyjwt": "2.15.0",
    "python-engineio": "4.13.2",
    "python-socketio": "5.16.2",
    "redis": "8.0.1",
}
PACKAGE_LOCKS = [
    ROOT / folder / "package-lock.json"
    for folder in ("tests/js", "tests/bench/rivals", "tests/contract/js", "gateway/client")
]


@pytest.mark.parametrize("lock", [SERVICE, TESTS], ids=["service", "tests"])
@pytest.mark.parametrize("name", FLOORS)
def test_no_version_with_a_known_hole_is_pinned(lock: Path, name: str) -> None:
    assert Version(pins(lock)[name]) >= Version(FLOORS[name])


def test_a_backend_takes_on_two_packages_and_what_these_need() -> None:
    ours = {Requirement(line).name for line in PROJECT["project"]["dependencies"]}
    assert ours == {"redis", "msgspec"}
    # async-timeout was a part of Python from 3.11.3 on.
    assert _closure(ours) - {"async-timeout"} == ours


def _closure(names: set[str]) -> set[str]:
    found: set[str] = set()
    while names:
        found |= names
        lines = [Requirement(line) for name in names for line in requires(name) or ()]
        needed = [line for line in lines if line.marker is None or line.marker.evaluate({"extra": ""})]
        names = {str(canonicalize_name(line.name)) for line in needed} - found
    return found


def test_the_publisher_is_not_bound_to_a_version_with_a_known_hole() -> None:
    (redis,) = (Requirement(line) for line in PROJECT["project"]["dependencies"] if line.startswith("redis"))
    assert not redis.specifier.contains("8.0.0")
    assert redis.specifier.contains(FLOORS["redis"])


@pytest.mark.parametrize("lock", PACKAGE_LOCKS, ids=lambda lock: lock.parent.name)
def test_npm_packages_are_pinned_by_their_content(lock: Path) -> None:
    packages = {name: facts for name, facts in json.loads(lock.read_text())["packages"].items() if name}
    assert packages
    assert not [name for name, facts in packages.items() if not facts.get("integrity")]
    assert not [name for name, facts in packages.items() if "resolved" in facts]


@pytest.mark.parametrize("folder", ["tests/js", "tests/bench/rivals", "tests/contract/js"])
def test_what_is_measured_and_tested_against_is_one_version(folder: str) -> None:
    wanted = json.loads((ROOT / folder / "package.json").read_text())
    named = wanted["dependencies"] | wanted.get("optionalDependencies", {})
    assert all(version.rpartition("@")[2][:1].isdigit() for version in named.values()), named
