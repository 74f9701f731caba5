"""All sockets of a measurement, spread over several load generators."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import ExitStack
from typing import Any, NamedTuple, Self

from tests.bench.accounting import cpu_s
from tests.bench.tally import Verdict, total
from tests.bench.worker import Worker

# One is faster than any server here; two keep the latencies that we measure the server's and not our own.
PROCESSES = min(os.cpu_count() or 1, 2)
CONNECT_S = 90.0
QUIET_S = 3.0


class Received(NamedTuple):
    """What all sockets got."""

    verdict: Verdict
    latencies_us: list[int]
    bytes: int
    deflated: int
    cut: int


class Crowd:
    """`sockets` clients in `rooms` conversations. All members of a room are on the same replica.

    Rooms take turns in `organizations`. At most `at_once` clients are under way while they connect.
    """

    def __init__(
        self,
        organization_id: str,
        ports: list[int],
        sockets: int,
        rooms: int,
        *,
        deflate: bool,
        at_once: int = 250,
        organizations: int = 1,
    ) -> None:
        self.rooms = [str(uuid.uuid5(uuid.UUID(organization_id), str(number))) for number in range(rooms)]
        organization_ids = [organization_id, *(str(uuid.uuid4()) for _ in range(organizations - 1))]
        self._deflate = deflate
        self._at_once = at_once
        self._workers = [Worker("tests.bench.load") for _ in range(min(PROCESSES, sockets))]
        self._places = [
            (
                number,
                organization_ids[number % rooms % organizations],
                self.rooms[number % rooms],
                ports[number % rooms % len(ports)],
            )
            for number in range(sockets)
        ]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for worker in self._workers:
                stack.enter_context(worker)
            count = len(self._workers)
            for number, worker in enumerate(self._workers):
                places, at_once = self._places[number::count], self._at_once // count
                worker.tell("prepare", places=places, deflate=self._deflate, at_once=at_once)
            for worker in self._workers:
                worker.answer()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _all(self, verb: str, **arguments: Any) -> list[Any]:
        for worker in self._workers:
            worker.tell(verb, **arguments)
        return [worker.answer() for worker in self._workers]

    @property
    def cpu_s(self) -> float:
        """CPU time of the load generators themselves."""
        return sum(cpu_s(worker.pid) for worker in self._workers)

    def connect(self, within_s: float = CONNECT_S, owed: int = 0) -> dict[str, float]:
        """Connect every socket, or have it come back and get what it is owed: `arrived`, `recovered`, `took_s`."""
        began = time.monotonic()
        answers = self._all("connect", within_s=within_s, owed=owed)
        took_s = time.monotonic() - began
        return {name: sum(answer[name] for answer in answers) for name in answers[0]} | {"took_s": took_s}

    def begin(self) -> None:
        """Start to take latencies and bytes."""
        self._all("begin")

    def receive(self, upto: int, quiet_s: float = QUIET_S) -> Received:
        """Wait until every socket has its room's events up to `upto`, or nothing comes any more."""
        answers = self._all("receive", upto=upto, quiet_s=quiet_s)
        return Received(
            verdict=total(answer["verdict"] for answer in answers),
            latencies_us=sorted(took for answer in answers for took in answer["latencies_us"]),
            **{name: sum(answer[name] for answer in answers) for name in ("bytes", "deflated", "cut")},
        )

    def drop(self) -> None:
        """Cut every connection at once."""
        self._all("drop")
