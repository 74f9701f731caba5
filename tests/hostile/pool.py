"""Running cases: one arena for all that want the same settings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.e2e.test_origins import ALLOWED
from tests.hostile.arena import Arena
from tests.hostile.cases import Case, Outcome, run

API_KEY = "hostile-n0Zt4QyRk7vJ2mWc9xLb5sEd8uGf1h"
ALWAYS = {"GATEWAY_CORS_ORIGINS": ",".join(ALLOWED), "GATEWAY_API_KEYS": API_KEY}
# For `make test`: the deadlines are those of production, but short; a healthy client needs less on any machine.
QUICK = ALWAYS | {
    "GATEWAY_CONNECT_TIMEOUT_S": "4",
    "GATEWAY_REQUEST_TIMEOUT_S": "4",
    "GATEWAY_PING_INTERVAL_S": "0.5",
    # The answer of a flood's socket comes behind the flood.
    "GATEWAY_PING_TIMEOUT_S": "60",
}


class Arenas:
    """Starts an arena for each set of settings, when it is first asked for."""

    def __init__(self, folder: Path, *, full: bool) -> None:
        self._folder = folder
        self._full = full
        self._arenas: dict[frozenset[tuple[str, str]], Arena] = {}
        self._started = 0

    def of(self, settings: Mapping[str, str]) -> Arena:
        """Return the arena with these settings."""
        key = frozenset(settings.items())
        arena = self._arenas.get(key)
        if arena is not None and not arena.neighbours.is_running:
            # One case has failed by that; the others are to be judged by themselves.
            del self._arenas[key]
            arena.close()
            arena = None
        if arena is None:
            chosen = (ALWAYS if self._full else QUICK) | dict(settings)
            self._started += 1
            arena = self._arenas[key] = Arena(self._folder / f"arena-{self._started}", chosen).start()
        return arena

    def close(self) -> list[str]:
        """End all of them; return what was wrong."""
        troubles = []
        for arena in self._arenas.values():
            try:
                arena.close()
            except AssertionError as error:
                troubles.append(str(error))
        self._arenas.clear()
        return troubles


def run_all(cases: Iterable[Case], folder: Path, report: Callable[[Outcome], None]) -> list[Outcome]:
    """Run cases at full size, one after the other."""
    outcomes = []
    arenas = Arenas(folder, full=True)
    try:
        for case in cases:
            outcome = asyncio.run(run(case, arenas.of(case.settings), full=True))
            outcomes.append(outcome)
            report(outcome)
    finally:
        troubles = arenas.close()
    assert not troubles, "\n".join(troubles)
    return outcomes
