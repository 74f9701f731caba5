"""The two transports of engine.io-client 6.6: polling-xhr.js and websocket.js, call for call.

What the library tells listeners goes to `listener`, which is None where the library removes all listeners.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, Protocol
from urllib.parse import quote

from tests.simulation.client.http import Address
from tests.simulation.client.tab import Tab
from tests.simulation.client.websocket import WebSocket
from tests.support.polling import packets_of, payload_of

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
UNQUOTED = "!~*'()"


class Listener(Protocol):
    """Hears of a transport: the engine, or the probe of one that is to become the engine's."""

    def transport_open(self) -> None: ...
    def transport_packet(self, packet: str) -> None: ...
    def transport_drain(self) -> None: ...
    def transport_error(self, message: str) -> None: ...
    def transport_close(self) -> None: ...


class Transport(ABC):
    """One transport of a session; packets are texts, of which the first character is the type."""

    name: ClassVar[str]

    def __init__(self, tab: Tab, address: Address | None, sid: str, listener: Listener) -> None:
        self.tab = tab
        self.address = address
        self.query = {**tab.options.query, "EIO": "4", "transport": self.name}
        if sid:
            self.query["sid"] = sid
        self.listener: Listener | None = listener
        self.state: Literal["", "opening", "open", "pausing", "paused", "closed"] = ""
        self.writable = False

    def open(self) -> None:
        self.state = "opening"
        self._open()

    def close(self) -> None:
        """Close, unless it is closed or paused."""
        if self.state in ("opening", "open"):
            self._close()
            self._closed()

    def send(self, packets: Sequence[str]) -> None:
        """Send packets, if it is open."""
        if self.state == "open":
            self._write(packets)

    def detach(self) -> None:
        """Have nobody listen any more."""
        self.listener = None

    @abstractmethod
    def _open(self) -> None: ...
    @abstractmethod
    def _close(self) -> None: ...
    @abstractmethod
    def _write(self, packets: Sequence[str]) -> None: ...

    def _opened(self) -> None:
        self.state = "open"
        self.writable = True
        if self.listener is not None:
            self.listener.transport_open()

    def _closed(self) -> None:
        self.state = "closed"
        if self.listener is not None:
            self.listener.transport_close()

    def _failed(self, message: str) -> None:
        if self.listener is not None:
            self.listener.transport_error(message)

    def _drained(self) -> None:
        self.writable = True
        if self.listener is not None:
            self.listener.transport_drain()

    def _target(self) -> str:
        query = "&".join(f"{quote(name, UNQUOTED)}={quote(value, UNQUOTED)}" for name, value in self.query.items())
        return f"{self.tab.options.path}?{query}"


class Polling(Transport):
    """Long-polling: one GET at a time that waits, and at most one POST beside it."""

    name = "polling"

    def __init__(self, tab: Tab, address: Address | None, sid: str, listener: Listener) -> None:
        super().__init__(tab, address, sid, listener)
        self._polling = False
        self._on_paused: Callable[[], None] | None = None

    def pause(self, paused: Callable[[], None]) -> None:
        """Poll and post no more, and say when the present requests are over."""
        self.state = "pausing"
        self._on_paused = paused
        self._pause_if_quiet()

    def detach(self) -> None:
        super().detach()
        self._on_paused = None

    def _pause_if_quiet(self) -> None:
        if self._on_paused is not None and not self._polling and self.writable:
            paused, self._on_paused = self._on_paused, None
            self.state = "paused"
            paused()

    def _open(self) -> None:
        self._poll()

    def _close(self) -> None:
        # The library waits for the session, too, where it is opening, but drops that with all listeners.
        if self.state == "open":
            self._write(("1",))

    def _poll(self) -> None:
        self._polling = True
        self._request("GET", "", self._polled)

    def _request(self, method: str, body: str, done: Callable[[int, str], None]) -> None:
        self.query["t"] = self._stamp()
        self.tab.http.request(self.address, method, self._target(), body, done)

    def _stamp(self) -> str:
        number, text = int(self.tab.loop.time() * 1000), ""
        for _ in range(5):
            number, digit = divmod(number, 36)
            text = DIGITS[digit] + text
        return text + "".join(self.tab.random.choices(DIGITS, k=3))

    def _polled(self, status: int, text: str) -> None:
        if status != 200:
            self.tab.timer(0, self._failed, "xhr poll error")
            return
        for packet in packets_of(text):
            if self.state == "opening" and packet[:1] == "0":
                self._opened()
            if packet[:1] == "1":
                self._closed()
            elif self.listener is not None:
                self.listener.transport_packet(packet)
        if self.state != "closed":
            self._polling = False
            self._pause_if_quiet()
            if self.state == "open":
                self._poll()

    def _write(self, packets: Sequence[str]) -> None:
        self.writable = False
        self._request("POST", payload_of(packets), self._posted)

    def _posted(self, status: int, text: str) -> None:
        if status != 200:
            self.tab.timer(0, self._failed, "xhr post error")
            return
        self._drained()
        self._pause_if_quiet()


class WebSocketTransport(Transport):
    """A websocket."""

    name = "websocket"

    def __init__(self, tab: Tab, address: Address | None, sid: str, listener: Listener) -> None:
        super().__init__(tab, address, sid, listener)
        self._websocket: WebSocket | None = None

    def _open(self) -> None:
        self._websocket = WebSocket(self.tab, self.address, self._target(), self)

    def _close(self) -> None:
        assert self._websocket is not None
        # The library goes on listening to messages, but with no listeners of its own.
        self._websocket.handler = None
        self._websocket.close()

    def _write(self, packets: Sequence[str]) -> None:
        self.writable = False
        assert self._websocket is not None
        for packet in packets:
            self._websocket.send(packet)
        self.tab.tick(self._drained)

    # -- the websocket's

    def ws_open(self) -> None:
        self._opened()

    def ws_text(self, text: str) -> None:
        if self.listener is not None:
            self.listener.transport_packet(text)

    def ws_error(self) -> None:
        self._failed("websocket error")

    def ws_close(self) -> None:
        self._closed()


def within(packets: Sequence[str], max_payload: int) -> Sequence[str]:
    """Return the first of the packets that fit into one POST, but at least one."""
    size = 1
    for at, packet in enumerate(packets):
        size += len(packet.encode()) - 1
        if at > 0 and size > max_payload:
            return packets[:at]
        size += 2
    return packets
