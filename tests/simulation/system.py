"""The time and the randomness of the simulation, in place of the system's.

The product reads `time.monotonic`, `time.time`, `datetime.now` and `os.urandom` itself; some of its defaults keep
these functions from when they were imported. So `install` replaces them before any of the product is imported, in
a process that does nothing but simulate. `set_machine` says whose clock they show.
"""

from __future__ import annotations

import asyncio
import datetime
import importlib
import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol

EPOCH: Final = 1_767_225_600.0
"""The Unix time at which every simulation begins: 2026-01-01, in UTC."""
# Modules that ask `datetime` for the time.
_ASKING: Final = ("gateway.sockets.events", "jwt.api_jwt", "publisher.preview", "publisher.verbs")


class Machine(Protocol):
    """A machine with clocks of its own."""

    name: str

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def wall(self) -> float:
        """Return the Unix time in seconds, which an operator may set."""

    def draw(self, size: int) -> bytes:
        """Return random bytes."""


class _Nowhere:
    """Stands for the machine while no simulation runs."""

    name = "nowhere"

    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> float:
        return EPOCH

    def draw(self, size: int) -> bytes:
        return random.Random(size).randbytes(size)


NOWHERE: Final = _Nowhere()
_machine: Machine = NOWHERE

real_monotonic = time.monotonic
"""The system's own clock."""


def set_machine(machine: Machine) -> None:
    """Show the clocks of this machine from now on."""
    global _machine
    _machine = machine


def machine_name() -> str:
    """Return whose clocks are shown."""
    return _machine.name


class _AnyDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime.datetime)


class _Datetime(datetime.datetime, metaclass=_AnyDatetime):
    """`datetime.datetime`, whose `now` is the machine's."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return datetime.datetime.fromtimestamp(_machine.wall(), tz)


class JobQueue:
    """In place of an executor with one thread: a job runs in a later turn of the loop that it was submitted in."""

    def __init__(self, *_: Any) -> None:
        self._jobs: list[Callable[[], None]] = []

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def job() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*args))
                except Exception as error:  # noqa: BLE001  # who waits for the job gets it
                    future.set_exception(error)

        self._jobs.append(job)
        asyncio.get_running_loop().call_soon(self._run_one)
        return future

    def shutdown(self, wait: bool = True) -> None:
        """Run what is left."""
        while self._jobs:
            self._run_one()

    def _run_one(self) -> None:
        if self._jobs:
            self._jobs.pop(0)()


class Unconnected:
    """A socket that is not connected yet: what aiohttp's client makes before it asks the loop for a transport."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address

    def close(self) -> None:
        """Do nothing: nothing is open."""


async def _start_connection(*, addr_infos: Sequence[Any], **options: Any) -> Unconnected:
    return Unconnected(addr_infos[0][4])


def install() -> None:
    """Replace the system's time, randomness and facts about the process, for the rest of the process."""
    time.monotonic = lambda: _machine.monotonic()
    time.perf_counter = lambda: _machine.monotonic()
    time.time = lambda: _machine.wall()
    time.time_ns = lambda: int(_machine.wall() * 1e9)
    os.urandom = lambda size: _machine.draw(size)
    random._urandom = os.urandom  # type: ignore[attr-defined]
    time.process_time = lambda: _machine.monotonic() / 100
    os.getpid = lambda: 1
    socket.gethostname = lambda: _machine.name
    # A replica announces its size, whose digits are no two times the same.
    importlib.import_module("gateway.app.metrics")._resident_bytes = lambda: 100_000_000  # type: ignore[attr-defined]
    importlib.import_module("aiohttp.connector").aiohappyeyeballs.start_connection = _start_connection
    importlib.import_module("publisher.outbox.database").ThreadPoolExecutor = JobQueue  # type: ignore[attr-defined]
    # Sets of them are walked in the order of their addresses, which no two processes share.
    model = importlib.import_module("gateway.core.model")
    model.Member.__hash__ = lambda self: hash(self.pid)
    model.Tenant.__hash__ = lambda self: hash(self.id)
    # Nothing names a tunnel: with one hash for all, their order depends on when each was opened.
    importlib.import_module("gateway.peers.tunnel").Tunnel.__hash__ = lambda self: 0
    for name in _ASKING:
        importlib.import_module(name).datetime = _Datetime  # type: ignore[attr-defined]
