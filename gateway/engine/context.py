"""The state that all sockets of one server share."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from gateway.core.bucket import Rate
from gateway.engine.channel import Closing, Parting
from gateway.engine.deflate import Deflater
from gateway.engine.options import EngineOptions
from gateway.engine.stats import EngineStats
from gateway.engine.timers import Timers

S_co = TypeVar("S_co", covariant=True)


class EngineContext(Generic[S_co]):
    """The tables and tools of one server, whose sockets are `S_co`: `EngineSocket`, which has to know this class.

    `sockets` holds the open sessions. `parting` holds closed long-polling sessions whose last packets wait for a
    poll. `closing` holds websockets with a closing handshake under way. `upgrading` holds sids whose client got
    the probe's answer and has not confirmed the upgrade. The engine removes entries by itself.
    """

    __slots__ = (
        "clock",
        "closer",
        "closing",
        "deflater",
        "options",
        "parting",
        "rate",
        "receiver",
        "sockets",
        "stats",
        "tasks",
        "timers",
        "upgrading",
    )

    def __init__(
        self,
        options: EngineOptions,
        clock: Callable[[], float],
        receiver: Callable[..., Awaitable[object] | None],
        closer: Callable[..., Awaitable[object] | None],
    ) -> None:
        self.options = options
        self.clock = clock
        self.receiver = receiver
        self.closer = closer
        self.stats = EngineStats()
        self.timers = Timers(options.tick_s, clock, self._timer_failed)
        self.deflater = Deflater(options.compression) if options.compression else None
        self.rate = Rate(options.messages_per_s, options.messages_burst) if options.messages_per_s else None
        self.sockets: dict[str, S_co] = {}
        self.parting: dict[str, Parting] = {}
        self.closing: dict[Closing, None] = {}
        self.upgrading: set[str] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task and keep a reference to it; from Python 3.12 on it starts within this call."""
        task = _start(work)
        if not task.done():
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def _timer_failed(self, error: BaseException) -> None:
        self.stats.handler_errors += 1
        self.options.log("engine_timer_failed", error=type(error).__name__)


def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    loop = asyncio.get_running_loop()
    if hasattr(asyncio, "eager_task_factory"):
        return asyncio.Task(work, loop=loop, eager_start=True)  # type: ignore[call-arg]
    return loop.create_task(work)
