"""A simulated backend: a process with a publisher, which writes down what it was promised."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from publisher import AsyncPublisher, Publisher, Room
from publisher.errors import PublishError
from publisher.verbs import Receipt
from tests.simulation import threads
from tests.simulation.process import Process

# Threads of a backend that blocks.
THREADS: Final = 2


@dataclass(slots=True)
class Promise:
    """One call of the publisher, and what it answered."""

    ident: str
    tenant: str
    rooms: tuple[Room, ...]
    key: str | None = None
    version: int | None = None
    """With a version it is not published if a newer one was."""
    receipt: Receipt | None = None
    """None while the call is under way, and for good if its process was killed."""
    error: str = ""


class Backend:
    """One process that publishes. `promises` outlives it."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.promises: list[Promise] = []
        self.errors: list[str] = []
        """Errors of its other verbs."""
        self.unsent: int | None = None
        """Events that were not sent when it had closed; None before."""
        self.has_lost = True
        """Whether it has given events up, or was killed with some."""
        self._url = url
        self._publisher: AsyncPublisher | None = None
        self._calls: dict[asyncio.Task[None], None] = {}
        process.do(self._open)

    @property
    def name(self) -> str:
        return self.process.name

    @property
    def caller(self) -> str:
        """Return the name for the next event's ident: events of one name keep their order."""
        return self.name

    def _open(self) -> None:
        self._publisher = AsyncPublisher.from_url(self._url)

    def publish(self, tenant: str, event: str, ident: str, rooms: tuple[Room, ...], data: Any, **how: Any) -> None:
        """Publish an event as soon as the process has its turn."""
        promise = self._promise(ident, tenant, rooms, how)
        self.process.do(lambda: self._start(self._publish(promise, tenant, event, data, how)))

    def call(self, name: str, *args: Any) -> None:
        """Call another verb of the publisher."""

        async def calling() -> None:
            assert self._publisher is not None
            try:
                await getattr(self._publisher, name)(*args)
            except PublishError as error:
                self._note_error(name, error)

        self.process.do(lambda: self._start(calling()))

    def close(self) -> None:
        """Close the publisher, which sends what it has."""
        self.process.do(lambda: self._start(self._close()))

    def _promise(self, ident: str, tenant: str, rooms: tuple[Room, ...], how: dict[str, Any]) -> Promise:
        promise = Promise(ident, tenant, rooms, how.get("key"), how.get("version"))
        self.promises.append(promise)
        return promise

    def _note_error(self, verb: str, error: PublishError) -> None:
        self.errors.append(f"{verb}: {error}")
        self.process.world.trace.note(self.process.world.now, f"{self.name} {verb}: {error}")

    async def _publish(self, promise: Promise, tenant: str, event: str, data: Any, how: dict[str, Any]) -> None:
        assert self._publisher is not None
        try:
            promise.receipt = await self._publisher.emit(tenant, event, data, to=promise.rooms, **how)
        except PublishError as error:
            promise.error = str(error)

    async def _close(self) -> None:
        assert self._publisher is not None
        self.unsent = await self._publisher.aclose(timeout_s=60.0)
        counters = self._publisher.counters
        self.has_lost = bool(self.unsent or counters.dropped or counters.uncertain)

    def _start(self, coroutine: Any) -> None:
        task = self.process.create_task(coroutine)
        self._calls[task] = None
        task.add_done_callback(lambda task: self._calls.pop(task))


class BlockingBackend(Backend):
    """One process with the blocking publisher. Each of its threads makes one call after the other."""

    def __init__(self, process: Process, url: str) -> None:
        super().__init__(process, url)
        self._waiting: dict[str, deque[Callable[[], None]]] = {
            f"{self.name}-t{n}": deque() for n in range(THREADS)
        }
        self._busy: dict[str, threads.Thread] = {}

    @property
    def caller(self) -> str:
        return min(self._waiting, key=lambda name: len(self._waiting[name]))

    def _open(self) -> None:
        threads.install()
        self._blocking = Publisher.from_url(self._url, connection_class=threads.BlockingConnection)

    def publish(self, tenant: str, event: str, ident: str, rooms: tuple[Room, ...], data: Any, **how: Any) -> None:
        promise = self._promise(ident, tenant, rooms, how)

        def publishing() -> None:
            try:
                promise.receipt = self._blocking.emit(tenant, event, data, to=rooms, **how)
            except PublishError as error:
                promise.error = str(error)

        self._have(ident.rpartition("-")[0], publishing)

    def call(self, name: str, *args: Any) -> None:
        def calling() -> None:
            try:
                getattr(self._blocking, name)(*args)
            except PublishError as error:
                self._note_error(name, error)

        self._have(self.caller, calling)

    def close(self) -> None:
        def closing() -> None:
            for thread in list(self._busy.values()):
                thread.join()
            self.unsent = self._blocking.close(timeout_s=60.0)
            counters = self._blocking.counters
            self.has_lost = bool(self.unsent or counters.dropped or counters.uncertain)

        self.process.do(lambda: threads.Thread(target=closing).start())

    def _have(self, caller: str, call: Callable[[], None]) -> None:
        """Have a thread make a call after those that it was asked for before."""
        self._waiting[caller].append(call)
        self.process.do(lambda: self._start_thread(caller))

    def _start_thread(self, caller: str) -> None:
        if caller not in self._busy:
            self._busy[caller] = thread = threads.Thread(target=lambda: self._work(caller))
            thread.start()

    def _work(self, caller: str) -> None:
        waiting = self._waiting[caller]
        while waiting:
            waiting.popleft()()
        del self._busy[caller]
