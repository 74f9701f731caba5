"""A process: an event loop of its own on the world's clock, which can be frozen, killed, and slow."""

from __future__ import annotations

import asyncio
import socket
from asyncio import events
from collections import deque
from collections.abc import Callable
from contextvars import Context
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tests.simulation import system
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.network import Network


class Process(asyncio.BaseEventLoop):
    """One operating system process on a host of its own.

    It is asyncio's own loop, whose timers and sockets are the world's. `drift` is by how much its clocks are
    fast: 1.0001 for a tenth of a millisecond a second. `step_s` is by how far its wall clock is wrong.
    """

    def __init__(self, world: World, name: str, network: Network, *, drift: float = 1.0) -> None:
        super().__init__()
        self.world = world
        self.name = name
        self.drift = drift
        self.step_s = 0.0
        self.is_alive = True
        self.is_frozen = False
        self.network = network
        self._born = world.now
        self._ready: deque[Any] = deque()
        self._awake = False
        self._jobs = system.JobQueue()
        self.hub: Any = import_module("greenlet").getcurrent()
        """What runs all turns: a thread of a process gives its turn back to it."""

    # -- clocks

    def monotonic(self) -> float:
        return 1000.0 + (self.world.now - self._born) * self.drift

    def monotonic_at(self, when: float) -> float:
        """Return what the monotonic clock shows at a moment of the world."""
        return 1000.0 + (when - self._born) * self.drift

    time = monotonic

    def wall(self) -> float:
        return system.EPOCH + self.world.now + (self.world.now - self._born) * (self.drift - 1.0) + self.step_s

    def draw(self, size: int) -> bytes:
        return self.world.random.randbytes(size)

    # -- asyncio's loop

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = events.Handle(callback, args, self, context)
        self.post(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = events.TimerHandle(when, callback, args, self, context)
        due = self._born + (when - 1000.0) / self.drift
        self.world.at(max(due, self.world.now), _Alarm(self, timer))
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.monotonic() + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it in the world's queue."""

    def post(self, ready: Any) -> None:
        """Have something run in this process' next turn."""
        if not self.is_alive:
            return
        self._ready.append(ready)
        if not self._awake:
            self._awake = True
            if not self.is_frozen:
                self.world.wake(self)

    def turn(self) -> None:
        """Run what is ready now; what that makes ready has its turn later."""
        self._awake = False
        if not self.is_alive or self.is_frozen:
            return
        ready = self._ready
        system.set_machine(self)
        events._set_running_loop(self)
        try:
            for _ in range(len(ready)):
                if not ready:
                    break  # it was killed in this very turn
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            events._set_running_loop(None)
            system.set_machine(self.world)
        if ready and not self._awake:
            self._awake = True
            self.world.wake(self)

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        """Leave it off."""

    def is_running(self) -> bool:
        return True

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Take down what nobody has handled; in a dead process nobody can."""
        if self.is_alive:
            error = context.get("exception")
            shown = f": {type(error).__name__} {error}" if error is not None else ""
            self.world.complaints.append(f"{self.name}: {context.get('message')}{shown}")
            self.world.trace.note(self.world.now, f"{self.name} complains {context.get('message')}{shown}")

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        return asyncio.wrap_future((executor or self._jobs).submit(func, *args), loop=self)

    # -- the network

    async def create_connection(
        self, protocol_factory: Callable[[], Any], host: str | None = None, port: int | None = None, **options: Any
    ) -> tuple[Any, Any]:
        unconnected = options.get("sock")
        if unconnected is not None:
            host, port = unconnected.address
        assert host is not None
        assert port is not None
        assert not options.get("ssl")
        connected: tuple[Any, Any] = await self.network.connect(self, protocol_factory, host, port)
        return connected

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], host: str | None = None, port: int | None = None, **options: Any
    ) -> Any:
        assert port is not None
        return self.network.listen(self, protocol_factory, port)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> list[Any]:
        """Resolve a name to itself: hosts have no numbers here."""
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]

    # -- what happens to it

    def begin(self, main: Callable[[], Any]) -> None:
        """Start a coroutine as the process' main task."""

        def start() -> None:
            self.main = self.create_task(main())

        self.call_soon(start)

    def do(self, action: Callable[[], object]) -> None:
        """Have something done in this process, as soon as it has its turn."""
        self.call_soon(action)

    def freeze(self) -> None:
        """Stop, as SIGSTOP does; what comes meanwhile waits."""
        self.is_frozen = True

    def thaw(self) -> None:
        """Go on."""
        if self.is_frozen:
            self.is_frozen = False
            if self._ready or self._awake:
                self._awake = True
                self.world.wake(self)

    def kill(self) -> None:
        """End at once: memory and unsent bytes are gone; the kernel closes its connections."""
        if self.is_alive:
            self.is_alive = False
            self._ready.clear()
            self.network.bury(self)

    def crash(self) -> None:
        """End with its host: nobody hears anything of it any more."""
        if self.is_alive:
            self.is_alive = False
            self._ready.clear()
            self.network.bury(self, silently=True)

    def __del__(self) -> None:
        """Leave asyncio's own warning out: nothing of the system was opened."""

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that have not ended."""
        return [task for task in asyncio.all_tasks(self) if not task.done()]

    def timers(self) -> list[str]:
        """Return what timers are set for."""
        return [shown for happening in self.world.waiting() if (shown := _shown(happening, self))]


class _Alarm:
    """A timer's moment."""

    __slots__ = ("_process", "_timer")

    def __init__(self, process: Process, timer: asyncio.TimerHandle) -> None:
        self._process = process
        self._timer = timer

    def __call__(self) -> None:
        if not self._timer._cancelled and self._process.is_alive:
            self._process.post(self._timer)


def _shown(happening: object, process: Process) -> str:
    """Return what a timer of a process calls; nothing for what else happens."""
    if not isinstance(happening, _Alarm) or happening._process is not process or happening._timer._cancelled:
        return ""
    called: Any = getattr(happening._timer, "_callback")  # noqa: B009  # asyncio's own
    return str(getattr(called, "__qualname__", type(called).__name__))
