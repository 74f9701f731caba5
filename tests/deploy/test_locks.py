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


def test_the_service_is_what_a_backend_and_the_gateway_need() -> None:
    assert names(PROJECT["project"]["dependencies"], EXTRAS["gateway"]) <= set(pins(SERVICE))


def test_a_checkout_needs_the_build_backend_and_the_embedded_server_besides() -> None:
    assert names(PROJECT["build-system"]["requires"], EXTRAS["embedded"]) <= set(pins(CHECKOUT))


def test_the_relay_has_what_the_outbox_needs_and_a_driver() -> None:
    assert names(EXTRAS["outbox"]) < set(pins(RELAY))
    assert "asyncpg" in pins(RELAY)


def test_what_is_traced_can_be_sent() -> None:
    assert names(EXTRAS["tracing"]) <= set(pins(TRACING))


def test_the_image_holds_no_tools_and_no_server() -> None:
    assert not names(EXTRAS["dev"], EXTRAS["embedded"]) & set(pins(SERVICE))


def test_the_tests_need_everything() -> None:
    groups = [PROJECT["project"]["dependencies"], PROJECT["build-system"]["requires"], *EXTRAS.values()]
    assert names(*groups) <= set(pins(TESTS))


@pytest.mark.parametrize("lock", [SERVICE, CHECKOUT, RELAY, TRACING], ids=lambda lock: lock.stem)
def test_the_tests_run_with_the_versions_that_are_deployed(lock: Path) -> None:
    assert pins(lock).items() <= pins(TESTS).items()
