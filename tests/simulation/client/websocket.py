"""A browser's websocket: text messages, pings answered, and the farewell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, Protocol

from gateway.engine.reader import CLOSE, PING, PONG, TEXT
from tests.simulation.client.http import Address
from tests.support.raw_http import head, upgrade
from tests.support.websocket import FIN, OPCODE, frame, take_answer, take_frame

if TYPE_CHECKING:
    from tests.simulation.client.tab import Tab

FAREWELL_S = 60.0
"""How long Chrome waits for the answer to its close frame."""
HANG_UP_S = 2.0
"""How long Chrome waits for the server to close the connection after the close frames."""
GOING_AWAY = (1001).to_bytes(2, "big")


class Handler(Protocol):
    """Hears of a websocket; each call is a task of the page."""

    def ws_open(self) -> None: ...
    def ws_text(self, text: str) -> None: ...
    def ws_error(self) -> None: ...
    def ws_close(self) -> None: ...


class WebSocket(asyncio.Protocol):
    """One websocket. A handshake that fails is an error and a close; a connection that ends later is a close."""

    def __init__(self, tab: Tab, address: Address | None, target: str, handler: Handler) -> None:
        self.tab = tab
        self.handler: Handler | None = handler
        self.state: Literal["connecting", "open", "closing", "closed"] = "connecting"
        self._target = target
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._connecting = tab.loop.create_task(self._connect(address))
        tab.websockets.append(self)

    def send(self, text: str) -> None:
        """Send a message, if the websocket is open."""
        if self.state == "open":
            self._write(TEXT, text.encode())

    def close(self) -> None:
        """Close as `WebSocket.close()` does: with a close frame, whose answer is waited for."""
        if self.state == "connecting":
            self.leave(reset=False)
        elif self.state == "open":
            self._bid_farewell(b"", FAREWELL_S)

    def leave(self, *, reset: bool) -> None:
        """End it without waiting for anything: the tab is closed, or the connection is no websocket yet."""
        self._connecting.cancel()
        if self._transport is not None:
            if reset:
                self._transport.abort()
            else:
                if self.state == "open":
                    self._write(CLOSE, GOING_AWAY)
                self._transport.close()
        elif self.state != "closed":
            self._ended()
        self._stop_timer()

    def _write(self, opcode: int, payload: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(opcode, payload, key=self.tab.random.randbytes(4)))

    def _bid_farewell(self, payload: bytes, patience_s: float) -> None:
        self.state = "closing"
        self._write(CLOSE, payload)
        assert self._transport is not None
        self._timer = self.tab.timer(patience_s, self._transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _connect(self, address: Address | None) -> None:
        host, port = address or self.tab.balancer()
        self._target = f"{host}:{port} {self._target}"
        try:
            await self.tab.loop.create_connection(lambda: self, host, port)
        except OSError:
            self._ended()

    # -- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self.state == "closed":
            transport.abort()
            return
        host, _, target = self._target.partition(" ")
        fields = {"Host": host, **upgrade(key=self.tab.random.randbytes(16)), **self.tab.options.headers}
        transport.write(head("GET", target, fields))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self.state == "connecting":
            answer = take_answer(self._buffer)
            if answer is None:
                return
            if answer[0] != 101:
                assert self._transport is not None
                self._transport.abort()
                self._ended()
                return
            self.state = "open"
            if self.handler is not None:
                self.tab.task(self.handler.ws_open)
        texts: list[str] = []
        while (taken := take_frame(self._buffer)) is not None:
            self._handle(*taken, texts)
        # The page hears of messages after the browser has answered a close frame behind them.
        for text in texts:
            if self.handler is not None:
                self.tab.task(self.handler.ws_text, text)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._stop_timer()
        if self.state != "closed":
            self._ended()

    def _handle(self, first: int, payload: bytes, texts: list[str]) -> None:
        assert first & ~OPCODE == FIN, f"an unexpected frame: {first:#x}"  # the gateway sends no frame in parts
        opcode = first & OPCODE
        if opcode == TEXT:
            texts.append(payload.decode())
        elif opcode == PING:
            self._write(PONG, payload)
        elif opcode == CLOSE and self.state == "open":
            self._bid_farewell(payload[:2], HANG_UP_S)
        elif opcode == CLOSE:
            self._stop_timer()
            assert self._transport is not None
            self._timer = self.tab.timer(HANG_UP_S, self._transport.abort)

    def _ended(self) -> None:
        was_open = self.state != "connecting"
        self.state = "closed"
        if self in self.tab.websockets:
            self.tab.websockets.remove(self)
        if self.handler is not None:
            if not was_open:
                self.tab.task(self.handler.ws_error)
            if self.handler is not None:
                self.tab.task(self.handler.ws_close)
