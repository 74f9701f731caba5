"""Fixtures for all tests: real servers, real processes, real clients; see `tests/support`."""

from __future__ import annotations

from collections.abc import Generator, Iterator

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

# A machine that does something else for a while is no finding.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

SHOWN = 12
"""Lines of a replica's log that go with a failure."""


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
