"""When sweeps are planned, without Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.presence.store import PresenceTimes, Swept
from gateway.presence.sweeper import MOST_LEASES, Sweeper

TIMES = PresenceTimes(lease_s=45.0)


class Store:
    """Answers each sweep with the delay that it is given."""

    times = TIMES

    def __init__(self, delay_ms: int) -> None:
        self.delay_ms = delay_ms

    async def sweep(self, tenant: str, sockets: Sequence[tuple[str, str]] = ()) -> Swept:
        return Swept(self.delay_ms, [])


def planned_s(sweeper: Sweeper) -> float | None:
    timer = sweeper._due.get("acme")
    return None if timer is None else timer.when() - asyncio.get_running_loop().time()


def sweeper(delay_ms: int) -> Sweeper:
    store: Any = Store(delay_ms)
    return Sweeper(store)


async def test_what_is_due_after_the_next_renewal_is_planned_as_well() -> None:
    """The last member may leave before that renewal, and nobody else would ever sweep."""
    sweeps = sweeper(16_000)
    await sweeps.sweep("acme")
    assert 15.0 < (planned_s(sweeps) or 0.0) < 16.1


async def test_two_sweeps_are_never_so_far_apart_that_redis_seems_to_have_been_down() -> None:
    sweeps = sweeper(40_000)
    await sweeps.sweep("acme")
    assert (planned_s(sweeps) or 99.0) <= MOST_LEASES * TIMES.lease_s < TIMES.lease_s / 2


async def test_a_sweep_replaces_what_was_planned_before_it() -> None:
    sweeps = sweeper(-1)
    sweeps.soon("acme", 1_000)
    await sweeps.sweep("acme")
    assert planned_s(sweeps) is None
