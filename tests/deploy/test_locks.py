"""The lock files: in step with pyproject.toml and each other, hashed, and bound to no address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import ROOT

SERVICE = ROOT / "deploy" / "requirements.lock"
CHECKOUT = ROOT / "deploy" / "checkout.lock"
RELAY = ROOT / "deploy" / "relay.lock"
TRACING = ROOT / "deploy" / "tracing.lock"
TESTS = ROOT / "tests" / "requirements.lock"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


def pins(lock: Path) -> dict[str, str]:
    """Return the versions of a lock file by name."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.M))


def names(*requirements: list[str]) -> set[str]:
    """Return the names of requirements as lock files spell them."""
    heads = (re.match(r"[\w.-]+", line) for group in requirements for line in group)
    return {re.sub(r"[-_.]+", "-", head[0]).lower() for head in heads if head}


@pytest.mark.parametrize(
    "lock", [SERVICE, CHECKOUT, RELAY, TRACING, TESTS], ids=lambda lock: lock.parent.name + "/" + lock.name
)
def test_everything_is_hashed_and_nothing_is_an_address(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"^(?=\S)", text, flags=re.M)[1:]
    assert len(entries) == len(pins(lock)) > 0
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|@|--(extra-)?index|--find-links|\.(org|com|io)\b", text)


DEPENDENCIES, BUILD = PROJECT["project"]["dependencies"], PROJECT["build-system"]["requires"]
NEEDED: dict[str, tuple[Path, list[list[str]]]] = {
    "the service, as a backend and the gateway": (SERVICE, [DEPENDENCIES, EXTRAS["gateway"]]),
    "a checkout, the build backend and the embedded server besides": (CHECKOUT, [BUILD, EXTRAS["embedded"]]),
    "the relay, the outbox and a driver": (RELAY, [EXTRAS["outbox"], ["asyncpg"]]),
    "what is traced, to be sent": (TRACING, [EXTRAS["tracing"]]),
    "the tests, everything": (TESTS, [DEPENDENCIES, BUILD, *EXTRAS.values()]),
}


@pytest.mark.parametrize(("lock", "requirements"), NEEDED.values(), ids=NEEDED)
def test_each_has_what_it_needs(lock: Path, requirements: list[list[str]]) -> None:
    assert names(*requirements) <= set(pins(lock))


def test_the_image_holds_no_tools_and_no_server() -> None:
    assert not names(EXTRAS["dev"], EXTRAS["embedded"]) & set(pins(SERVICE))


@pytest.mark.parametrize("lock", [SERVICE, CHECKOUT, RELAY, TRACING], ids=lambda lock: lock.stem)
def test_the_tests_run_with_the_versions_that_are_deployed(lock: Path) -> None:
    assert pins(lock).items() <= pins(TESTS).items()
