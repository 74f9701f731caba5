"""The methods that python-socketio's AsyncServer calls on its Engine.IO server, beyond serving requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from aiohttp import web

from gateway.core.frames import BinaryFrame, Frame
from gateway.engine.context import EngineContext
from gateway.engine.errors import CloseReason
from gateway.engine.socket import EngineSocket
from publisher.ids import new_id

Handler = Callable[..., Any]


class Compat:
    """python-socketio's view of the engine; sessions are addressed by their Engine.IO sid.

    Sends never wait. The methods are coroutines only because python-socketio awaits them.
    """

    async_mode: ClassVar[str] = "aiohttp"
    event_names: ClassVar[tuple[str, ...]] = ("connect", "disconnect", "message")

    def __init__(self, context: EngineContext[EngineSocket]) -> None:
        self._context = context
        self.handlers: dict[str, Handler] = {}

    @property
    def sockets(self) -> dict[str, EngineSocket]:
        """The open Engine.IO sessions by their sids."""
        return self._context.sockets

    def on(self, event: str, handler: Handler | None = None) -> Handler | None:
        """Register a handler; without one, return a decorator that registers it."""
        if event not in self.event_names:
            raise ValueError("Invalid event")
        if handler is not None:
            self.handlers[event] = handler
            return None

        def register(handler: Handler) -> Handler:
            self.handlers[event] = handler
            return handler

        return register

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Route all HTTP methods of the path to `handle_request`, which refuses wrong ones."""
        app.router.add_route("*", f"/{engineio_path.strip('/')}/", self.handle_request)

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answer one Engine.IO request: a handshake, a poll, a post or an upgrade."""
        raise NotImplementedError

    async def send(self, sid: str, data: str | bytes) -> None:
        """Send a message; does nothing if the session is gone."""
        socket = self._context.sockets.get(sid)
        if socket is not None:
            socket.send_frame(BinaryFrame(data) if isinstance(data, bytes) else Frame(data.encode()))

    async def send_packet(self, sid: str, pkt: Any) -> None:
        """Send the data of an upstream packet object of type MESSAGE; other types are ignored."""
        if pkt.packet_type == 4:
            await self.send(sid, pkt.data)

    async def get_session(self, sid: str) -> dict[str, Any]:
        """Return the session's own dict; raises KeyError if there is no such session."""
        socket = self._context.sockets[sid]
        if socket.session is None:
            socket.session = {}
        return socket.session

    async def save_session(self, sid: str, session: dict[str, Any]) -> None:
        """Replace the dict that python-socketio keeps for the session `sid`."""
        self._context.sockets[sid].session = session

    @asynccontextmanager
    async def session(self, sid: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the session's dict and save it afterwards."""
        session = await self.get_session(sid)
        yield session
        await self.save_session(sid, session)

    def transport(self, sid: str) -> str:
        """Return ``polling`` or ``websocket``; raises KeyError if there is no such session."""
        return self._context.sockets[sid].transport

    async def disconnect(self, sid: str | None = None) -> None:
        """Close the session `sid`, or all sessions."""
        chosen = [*self._context.sockets.values()] if sid is None else [self._context.sockets.get(sid)]
        for socket in chosen:
            if socket is not None:
                socket.close(CloseReason.SERVER)

    def generate_id(self) -> str:
        """Return a new session id: `options.name` and 20 random characters (120 bits)."""
        return self._context.options.name + new_id(15)

    def start_background_task(
        self, target: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
    ) -> asyncio.Task[Any]:
        """Run a coroutine function in a task; a reference to the task is kept until it ends."""
        task = asyncio.get_running_loop().create_task(target(*args, **kwargs))
        self._context.tasks.add(task)
        task.add_done_callback(self._context.tasks.discard)
        return task

    async def sleep(self, seconds: float = 0) -> None:
        """Sleep for so many seconds; with 0, give way once to what else waits for the event loop."""
        await asyncio.sleep(seconds)

    def create_queue(self, *args: Any, **kwargs: Any) -> asyncio.Queue[Any]:
        """Return a new `asyncio.Queue` with these arguments."""
        return asyncio.Queue(*args, **kwargs)

    def get_queue_empty_exception(self) -> type[Exception]:
        """Return the exception of an empty queue."""
        return asyncio.QueueEmpty

    def create_event(self, *args: Any, **kwargs: Any) -> asyncio.Event:
        """Return a new `asyncio.Event`; the arguments do not count."""
        return asyncio.Event()

    # -- python-socketio's handlers, for hooks that the options do not set

    def _call_connect(self, socket: EngineSocket) -> Awaitable[object] | None:
        handler = self.handlers.get("connect")
        return handler(socket.sid, socket.environ) if handler is not None else None

    def _call_message(self, socket: EngineSocket, data: str | bytes) -> Awaitable[object] | None:
        handler = self.handlers.get("message")
        return handler(socket.sid, data) if handler is not None else None

    def _call_disconnect(self, socket: EngineSocket, reason: str) -> Awaitable[object] | None:
        handler = self.handlers.get("disconnect")
        return handler(socket.sid, reason) if handler is not None else None
