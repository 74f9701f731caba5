"""Runs one plan from its beginning to the verdict."""

from __future__ import annotations

import gc
import logging
import random
import sys
import traceback
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from gateway import log_sampling
from gateway.core.limits import Limits
from publisher import ids
from tests.simulation import promises, system
from tests.simulation.cluster import Cluster
from tests.simulation.network import Network
from tests.simulation.plan import BEGINNING_S, Plan
from tests.simulation.story import Story
from tests.simulation.truth import Truth
from tests.simulation.visit import meet
from tests.simulation.world import Trace, World

# Seconds of the simulation: until all have come back after the last fault, and until the last events and changes
# of presence have come.
HEALING_S = 60.0
SETTLING_S = 60.0
MOMENT_S = 0.7
# Code takes no time, so there is no lag to measure.
LIMITS = Limits(sample_every_s=5.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan."""

    plan: Plan
    broken: dict[str, list[str]]
    checksum: int
    lines: list[str]
    simulated_s: float
    real_s: float
    events: int
    owed: int
    told: int
    recovered: int

    @property
    def holds(self) -> bool:
        """Return whether every promise was kept."""
        return not self.broken


def run(plan: Plan, *, trace: bool = False, counts: Callable[[str], bool] | None = None) -> Outcome:
    """Run a plan; every run of the same plan is the same.

    With `counts`, the run ends as soon as a promise is broken that counts: what comes later is not judged.
    """
    began = system.real_monotonic()
    world = World(plan.seed, trace=Trace(kept=trace))
    start_afresh(world)
    truth = Truth(world)
    network = Network(world, jitter=plan.jitter, pieces=plan.pieces, client_latency_s=plan.client_latency_s)
    limits = replace(LIMITS, **plan.limits)
    cluster = Cluster(world, network, truth, journal=plan.forgets, limits=limits, **plan.settings)
    story = Story(plan, cluster)
    broken: dict[str, list[str]] = {}
    try:
        _play(story, broken, counts or (lambda promise: False))
    except Exception:  # noqa: BLE001  # one seed must not end all
        broken["running"] = traceback.format_exc().splitlines()
    finally:
        system.set_machine(system.NOWHERE)
        cluster.forget()
        story.outbox.close()
        gc.enable()
    verdict = story.verdict
    return Outcome(
        plan,
        broken,
        world.trace.checksum,
        world.trace.lines or [],
        world.now,
        system.real_monotonic() - began,
        len(truth.events),
        verdict.owed,
        verdict.told,
        verdict.recovered,
    )


def _play(story: Story, broken: dict[str, list[str]], counts: Callable[[str], bool]) -> None:
    """Let a story happen, and note the promises that it breaks."""
    world = story.world
    story.begin()
    world.run(BEGINNING_S + story.plan.duration_s)
    story.heal()
    world.run(world.now + HEALING_S)
    broken |= promises.broken(story, promises.IN_TIME)
    story.settle()
    world.run(world.now + SETTLING_S)
    broken |= promises.broken(story)
    if any(map(counts, broken)):
        return
    story.leave()
    world.run(world.now + story.rest_s)
    meet(story)
    world.run(world.now + story.visit_s)
    broken |= promises.broken(story, promises.OF_A_VISIT)
    story.leave()
    world.run(world.now + story.rest_s)
    story.cluster.start_replica()
    world.run(world.now + BEGINNING_S)
    promises.take_inventory(story)
    world.run(world.now + MOMENT_S)
    broken |= promises.broken(story, promises.AT_REST)


def start_afresh(world: World) -> None:
    """Have nothing of an earlier run left that could make a difference."""
    _tear_down()
    random.seed(world.random.getrandbits(64))
    ids._pool.empty()
    log_sampling.left_out.clear()
    _capture_logs(world)
    system.set_machine(world)


def _tear_down() -> None:
    """End what earlier runs left under way: now, and nothing at a moment of its own in the run that begins."""
    sys.unraisablehook = lambda _: None
    logging.getLogger().handlers = [logging.NullHandler()]
    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()  # what was imported is not searched again for each seed
    gc.disable()


def _capture_logs(world: World) -> None:
    """Write the product's log lines into the trace; an exception in one is a complaint."""

    def capture(_: Any, level: str, line: MutableMapping[str, Any]) -> str:
        fields = " ".join(f"{name}={value}" for name, value in line.items() if name != "event")
        world.trace.note(world.now, f"{system.machine_name()} {level} {line['event']} {fields}")
        raise structlog.DropEvent

    structlog.configure(processors=[capture], cache_logger_on_first_use=False)
    logger = logging.getLogger()
    logger.handlers = [_Handler(world)]
    logger.setLevel(logging.WARNING)


class _Handler(logging.Handler):
    """Takes log lines of libraries and of the publisher."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{system.machine_name()} logs {record.getMessage()}"
        self._world.trace.note(self._world.now, line)
        if record.exc_info or record.name.startswith(("asyncio", "aiohttp")):
            self._world.complaints.append(line)
