"""Waiting for a condition with a deadline, in place of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar, overload

T = TypeVar("T")

PATIENCE_S = 120.0
"""Longer than anything takes that works, on a slow machine that is busy with something else.

It is no bound on anything: what works ends as soon as it is done, and only what does not work takes so long.
"""
STEP_S = 0.01
SLACK_S = 30.0
"""For what has a time of its own: so much a slow machine that is busy may add to it.

Far below what the same thing would take if it did not mind its time at all, which every user of this sees to.
"""


@overload
async def until(condition: Callable[[], Awaitable[T]], within_s: float = ..., what: str = ...) -> T: ...
@overload
async def until(condition: Callable[[], T], within_s: float = ..., what: str = ...) -> T: ...
async def until(condition: Callable[[], Any], within_s: float = PATIENCE_S, what: str = "") -> Any:
    """Ask `condition` again and again until what it gives is true, and give that; fails after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        asked = condition()
        found = await asked if isawaitable(asked) else asked
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(_late(condition, within_s, what, found))
        await asyncio.sleep(STEP_S)


def until_sync(condition: Callable[[], T], within_s: float = PATIENCE_S, what: str = "") -> T:
    """Do as `until` does, where there is no event loop."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(_late(condition, within_s, what, found))
        time.sleep(STEP_S)


def _late(condition: Callable[[], object], within_s: float, what: str, last: object) -> str:
    name = what or getattr(condition, "__qualname__", repr(condition))
    return f"waited {within_s:g} s in vain for {name}; last seen: {last!r:.2000}"
