"""One stage for the end-to-end tests: Valkey, a replica, two publishers' processes, the browsers' process.

Tests share it and stay out of each other's way by tenants of their own; a test that breaks something starts
its own with `redis_server` and `replicas`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import organization
from tests.support.browsers import Browser, now
from tests.support.publisher_process import PublisherProcess
from tests.support.redis_server import stage_redis
from tests.support.replica import Replica, replica_factory
from tests.support.tokens import new_id

__all__ = ["stage_redis"]

_latencies: list[float] = []


@pytest.fixture(scope="session")
def replica(stage_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """The replica of the shared stage."""
    for start in replica_factory(tmp_path_factory.mktemp("stage")):
        yield start(stage_redis.url)


@pytest.fixture(scope="session")
def backend(stage_redis: EmbeddedRedis) -> Iterator[PublisherProcess]:
    """A backend on asyncio, in another process."""
    yield from _publishing(PublisherProcess(stage_redis.url, "async"))


@pytest.fixture(scope="session")
def worker(stage_redis: EmbeddedRedis) -> Iterator[PublisherProcess]:
    """A worker without asyncio, in another process."""
    yield from _publishing(PublisherProcess(stage_redis.url, "blocking"))


def _publishing(process: PublisherProcess) -> Iterator[PublisherProcess]:
    nobody = new_id()
    process.call("emit", nobody, "warming:up", {}, to=organization(nobody))
    yield process
    assert process.close() == 0


def note_latency(began: float, *browsers: Browser, event: str) -> None:
    """Note how long the newest event of a name took from the publisher's call, at `began`, to each page."""
    for browser in browsers:
        at = browser.seen("event", lambda report: report["event"] == event)[-1]["at"]
        assert began < at <= now()
        _latencies.append(at - began)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the latencies were; no test depends on them."""
    if _latencies:
        ordered = sorted(_latencies)
        median, worst = ordered[len(ordered) // 2], ordered[-1]
        terminalreporter.write_line(
            f"publish call to browser: {len(ordered)} events, median {median * 1000:.1f} ms, "
            f"most {worst * 1000:.1f} ms"
        )
