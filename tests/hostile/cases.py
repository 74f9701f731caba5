"""Cases: an attack, what plain python-socketio does under it, and what is allowed here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from publisher import AsyncPublisher
from tests.hostile.arena import Arena, Cost
from tests.support.client import RawClient
from tests.support.tokens import mint

# Ten times what the slowest attack does on a busy machine, a fraction of what it does to plain python-socketio.
WORST_MS = 1000.0
MEMORY_MIB = 12.0
LOG_KIB = 10.0


@dataclass
class Stage:
    """What an attack gets; it says what it saw by `closed` and `note`, and asserts what must hold."""

    arena: Arena
    full: bool
    closed: str = ""
    """What ended the attack, and when: "after 1,001 events"."""
    notes: list[str] = field(default_factory=list)

    def times(self, full: int, short: int) -> int:
        """Choose a count: for the table, or for `make test`."""
        return full if self.full else short

    @property
    def port(self) -> int:
        """Where the replica listens."""
        return self.arena.replica.port

    def backend(self, **options: Any) -> AsyncPublisher:
        """Return somebody who publishes, until it is left as a context."""
        return AsyncPublisher.from_url(self.arena.redis.url, **options)

    @asynccontextmanager
    async def client(self, token: str | None = None, **options: Any) -> AsyncIterator[RawClient]:
        """Connect somebody, of a tenant of its own without a token, who leaves in good order at the end."""
        client = RawClient(self.arena.replica.url, token or mint(), **options)
        try:
            yield await client.connect()
        finally:
            await client.close()

    def note(self, text: str) -> None:
        """Say something for the table."""
        self.notes.append(text)

    @staticmethod
    def now() -> float:
        """Return the time."""
        return time.perf_counter()


Attack = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """One line of the table. `row` is its number in the list of hostile cases, if it has one."""

    title: str
    attack: Attack
    plain: str
    row: str
    settings: Mapping[str, str]
    memory_mib: float
    log_kib: float

    @property
    def name(self) -> str:
        """The attack's name, for the command line."""
        return self.attack.__name__


@dataclass
class Outcome:
    """What came of a case."""

    case: Case
    closed: str = ""
    cost: Cost = field(default_factory=Cost)
    notes: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether everything was as it must be."""
        return not self.troubles


CASES: list[Case] = []


def case(
    title: str,
    *,
    plain: str = "",
    row: str = "",
    settings: Mapping[str, str] | None = None,
    memory_mib: float = MEMORY_MIB,
    log_kib: float = LOG_KIB,
) -> Callable[[Attack], Attack]:
    """Register an attack. `plain` is what plain python-socketio does; the rest what is allowed here at most."""

    def register(attack: Attack) -> Attack:
        CASES.append(Case(title, attack, plain, row, settings or {}, memory_mib, log_kib))
        return attack

    return register


async def run(case: Case, arena: Arena, *, full: bool) -> Outcome:
    """Run a case; what goes wrong is in the outcome, nothing is raised."""
    asyncio.get_running_loop().set_debug(False)  # floods
    outcome, began = Outcome(case), time.monotonic()
    stage = Stage(arena, full)
    try:
        await arena.begin()
        await case.attack(stage)
        outcome.cost = await arena.end()
        outcome.troubles += _judge(case, outcome.cost)
    except Exception as error:  # noqa: BLE001  # the table's to show
        outcome.troubles.append(f"{type(error).__name__}: {error}")
    outcome.closed, outcome.notes = stage.closed, stage.notes
    outcome.took_s = time.monotonic() - began
    return outcome


def _judge(case: Case, cost: Cost) -> list[str]:
    seen = cost.neighbours
    found = {
        f"neighbours: {seen.lost} lost, {seen.twice} twice, {seen.disordered} out of order, {seen.drops} drops, "
        f"of {seen.published}": not seen.unharmed,
        f"a neighbour waited {seen.worst_ms:.0f} ms, {cost.waited_s:.1f} s of it may have been for a processor": (
            seen.worst_ms - cost.waited_s * 1000 > WORST_MS
        ),
        f"memory grew by {cost.peak_mib:.1f} MiB": cost.peak_mib > case.memory_mib,
        f"{cost.log_bytes / 1024:.1f} KiB of log": cost.log_bytes > case.log_kib * 1024,
    }
    return [text for text, is_bad in found.items() if is_bad]
