"""HTTP/1.1 as a browser's XMLHttpRequest uses it: connections that are kept, at most six of them to a host."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from tests.support.raw_http import head
from tests.support.websocket import take_answer

if TYPE_CHECKING:
    from tests.simulation.client.tab import Tab

Address: TypeAlias = tuple[str, int]
Done: TypeAlias = Callable[[int, str], None]
MAX_CONNECTIONS = 6


class Request:
    """One request. `done` gets the status and the text of the answer, or 0 if there is none."""

    __slots__ = ("address", "body", "done", "method", "target")

    def __init__(self, address: Address | None, method: str, target: str, body: str, done: Done) -> None:
        self.address = address
        self.method = method
        self.target = target
        self.body = body
        self.done = done


class Http:
    """The connections of a page to its host, and the requests that wait for one."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self._connections: list[Connection] = []
        self._waiting: deque[Request] = deque()

    def request(self, address: Address | None, method: str, target: str, body: str, done: Done) -> None:
        """Send a request to an address, or to where the balancer sends the connection if there is none."""
        self.send(Request(address, method, target, body, done))

    def send(self, request: Request, *, is_again: bool = False) -> None:
        """Send a request on an idle connection, on a new one, or later; a second time only on a new one."""
        for connection in list(self._connections):
            if connection.is_idle:
                if connection.address != request.address:
                    connection.end()
                elif not is_again:
                    connection.send(request)
                    return
        if len(self._connections) < MAX_CONNECTIONS:
            self._connections.append(Connection(self, request))
        else:
            self._waiting.append(request)

    def forget(self, connection: Connection) -> None:
        """Note that a connection has ended."""
        if connection in self._connections:
            self._connections.remove(connection)

    def next(self) -> None:
        """Send what waits for a connection."""
        if self._waiting and not self.tab.is_closed:
            self.send(self._waiting.popleft())

    def close(self, *, reset: bool) -> None:
        """End all connections, and the requests with them."""
        self._waiting.clear()
        for connection in list(self._connections):
            connection.request = None
            connection.end(reset=reset)


class Connection(asyncio.Protocol):
    """One connection, with at most one request at a time."""

    def __init__(self, http: Http, request: Request) -> None:
        self.address = request.address
        self.request: Request | None = request
        self.answers = 0
        self._http = http
        self._host = ""
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._status = 0
        self._size: int | None = None
        self._keeps = http.tab.options.keep_alive
        self._connecting = http.tab.loop.create_task(self._connect())

    @property
    def is_idle(self) -> bool:
        """Whether it can take a request at once."""
        return self.request is None and self._transport is not None and not self._transport.is_closing()

    def send(self, request: Request) -> None:
        """Send a request."""
        self.request = request
        assert self._transport is not None
        self._transport.write(self._bytes_of(request))

    def end(self, *, reset: bool = False) -> None:
        """End the connection."""
        self._http.forget(self)
        self._connecting.cancel()
        if self._transport is not None:
            if reset:
                self._transport.abort()
            else:
                self._transport.close()

    def _bytes_of(self, request: Request) -> bytes:
        tab = self._http.tab
        fields = {"Host": self._host, "Connection": "keep-alive" if self._keeps else "close", "Accept": "*/*"}
        fields.update(tab.options.headers)
        body = request.body.encode()
        if request.method == "POST":
            fields["Content-type"] = "text/plain;charset=UTF-8"
            fields["Content-Length"] = str(len(body))
        return head(request.method, request.target, fields) + body

    async def _connect(self) -> None:
        host, port = self.address or self._http.tab.balancer()
        self._host = f"{host}:{port}"
        try:
            await self._http.tab.loop.create_connection(lambda: self, host, port)
        except OSError:
            self._lost()

    # -- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self.request is None:
            transport.abort()
        else:
            self.send(self.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self.request is None:
            return
        if not self._status:
            answer = take_answer(self._buffer)
            if answer is None:
                return
            self._status, fields = answer
            self._size = int(fields["content-length"]) if "content-length" in fields else None
            self._keeps = self._keeps and fields.get("connection", "").lower() != "close"
        if self._size is not None and len(self._buffer) >= self._size:
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost()

    def _answered(self) -> None:
        assert self.request is not None
        request, self.request = self.request, None
        status, self._status = self._status, 0
        text = self._buffer[: self._size].decode()
        self._buffer.clear()
        self.answers += 1
        if not self._keeps:
            self.end()
        self._http.next()
        self._http.tab.task(request.done, status, text)

    def _lost(self) -> None:
        self._http.forget(self)
        request = self.request
        tab = self._http.tab
        if request is not None and self._status and self._size is None:
            self._answered()
            return
        self.request = None
        if request is not None and self.answers and not self._status and tab.options.resends:
            self._http.send(request, is_again=True)
        elif request is not None:
            tab.task(request.done, 0, "")
        self._http.next()
