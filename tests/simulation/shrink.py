"""Cuts a failing plan down: to fewer actions, pages, replicas, as long as the same promise is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from tests.simulation.plan import Plan
from tests.simulation.run import Outcome, run

MOST_RUNS: Final = 300


def shrunk(outcome: Outcome, runs: int = MOST_RUNS) -> Outcome:
    """Return the outcome of the smallest plan found that breaks one of the same promises."""
    wanted = set(outcome.broken)
    smallest = outcome

    def fails(plan: Plan) -> bool:
        nonlocal smallest, runs
        if not runs:
            return False
        runs -= 1
        tried = run(plan)
        if wanted & set(tried.broken):
            smallest = tried
            return True
        return False

    _drop_actions(lambda: smallest.plan, fails)
    for smaller in _smaller(smallest.plan):
        fails(smaller(smallest.plan))
    _drop_actions(lambda: smallest.plan, fails)
    return smallest


def _drop_actions(plan: Callable[[], Plan], fails: Callable[[Plan], bool]) -> None:
    """Leave parts of the actions out: first halves, then smaller and smaller parts."""
    size = max(len(plan().actions) // 2, 1)
    while size:
        at = 0
        while at < len(plan().actions):
            actions = plan().actions
            if not fails(plan().with_actions((*actions[:at], *actions[at + size :]))):
                at += size
        size //= 2


def _smaller(plan: Plan) -> Iterator[Callable[[Plan], Plan]]:
    """Yield changes that make a cluster smaller and its network simpler."""
    for field, value in (
        ("replicas", 1),
        ("replicas", 2),
        ("pages", 1),
        ("pages", 2),
        ("backends", 1),
        ("tenants", 1),
        ("relays", 1),
        ("writers", 1),
    ):
        if getattr(plan, field) > value:
            yield lambda plan, field=field, value=value: replace(plan, **{field: value})  # type: ignore[misc]
    yield lambda plan: replace(plan, jitter=0.0, pieces=0.0, drift=1.0)
    yield lambda plan: replace(plan, duration_s=max((action.at for action in plan.actions), default=1.0) + 1.0)
