"""The state that all sockets of one server share."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from gateway.core.bucket import Rate
from gateway.engine.deflate import Deflater
from gateway.engine.options import EngineOptions
from gateway.engine.stats import EngineStats
from gateway.engine.timers import Timers

if TYPE_CHECKING:
    from gateway.engine.polling import Polling
    from gateway.engine.socket import EngineSocket
    from gateway.engine.websocket import WebSocket


class EngineContext:
    """The tables and tools of one server.

    `sockets` holds the open sessions, `parting` closed long-polling sessions whose last packets wait for a
    poll, `closing` websockets that were closed and have not gone yet, `upgrading` sessions whose client has been
    told to change over and has not said that it did. Each empties itself.
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
        receiver: "Callable[[EngineSocket, str | bytes], Awaitable[object] | None]",
        closer: "Callable[[EngineSocket, str], Awaitable[object] | None]",
    ) -> None:
        self.options = options
        self.clock = clock
        self.receiver = receiver
        self.closer = closer
        self.stats = EngineStats()
        self.timers = Timers(options.tick_s, clock, self._timer_failed)
        self.deflater = Deflater(options.compression) if options.compression else None
        self.rate = Rate(options.messages_per_s, options.messages_burst) if options.messages_per_s else None
        self.sockets: dict[str, EngineSocket] = {}
        self.parting: dict[str, Polling] = {}
        self.closing: dict[WebSocket, None] = {}
        self.upgrading: set[str] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task that lives until it ends; from Python 3.12 on it starts within this call."""
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
