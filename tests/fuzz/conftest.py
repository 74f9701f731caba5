"""One gateway for all fuzzers, with healthy neighbours; what a fuzzer did to them is judged when it is done."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.hostile.arena import Arena
from tests.hostile.cases import WORST_MS
from tests.hostile.pool import QUICK
from tests.support.waiting import until_sync

# No limit of events: it would close what is to be fuzzed.
SETTINGS = QUICK | {"GATEWAY_EVENTS_PER_S": "0", "GATEWAY_CONNECTS_PER_S": "0"}
MEMORY_MIB = 24.0

Port = Callable[[], int]

fuzzing = settings(
    # FUZZ_EXAMPLES=20000 for a long run.
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "80")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    arena = Arena(tmp_path_factory.mktemp("arena"), SETTINGS).start()
    yield arena
    arena.close()


@pytest.fixture
def unharmed(arena: Arena) -> Iterator[Port]:
    """Return the port to fuzz; fails afterwards if neighbours, memory or the log show that it was."""
    asyncio.run(arena.begin())
    yield lambda: arena.replica.port
    cost = asyncio.run(arena.end())
    seen = cost.neighbours
    assert seen.unharmed, seen
    assert seen.worst_ms < WORST_MS
    assert cost.kept_mib < MEMORY_MIB
    until_sync(lambda: arena.metric("gateway_sockets") == arena.sessions(), what="what is unfinished to be closed")
