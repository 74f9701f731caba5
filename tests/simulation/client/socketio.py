"""The socket of a page, as the `Socket` of socket.io-client 4.8 (socket.js), call for call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

from tests.simulation.client.manager import Manager
from tests.simulation.client.packets import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet, encode
from tests.simulation.client.tab import Tab

Auth: TypeAlias = Mapping[str, Any] | Callable[[Callable[[Mapping[str, Any]], None]], None] | None
"""What goes with CONNECT, or a function that gives it to the function that it gets."""
OnAck: TypeAlias = Callable[..., None]
"""Gets the error or None, and what the acknowledgement carries."""


class SocketListener(Protocol):
    """What a page listens to."""

    def on_connect(self) -> None: ...
    def on_event(self, name: str, args: list[Any]) -> None: ...
    def on_disconnect(self, reason: str) -> None: ...
    def on_connect_error(self, message: str, data: Any) -> None: ...
    def on_reconnect_attempt(self, number: int) -> None: ...
    def on_reconnect_failed(self) -> None: ...
    def on_upgrade(self) -> None: ...


class Pending(NamedTuple):
    """An acknowledgement that is awaited; one with a timer hears of a disconnect, too."""

    call: OnAck
    timer: asyncio.TimerHandle | None


class Socket:
    """The socket: what the page emits waits for the connection; what comes before CONNECT waits for that."""

    def __init__(self, tab: Tab, auth: Auth, listener: SocketListener) -> None:
        self.connected = False
        self.recovered = False
        self.is_active = False
        self.id: str | None = None
        self.pid: str | None = None
        self.offset: str | None = None
        self.manager = Manager(tab, self)
        self._tab = tab
        self._auth = auth
        self._listener = listener
        self._acks: dict[int, Pending] = {}
        self._next = 0
        self._received: list[list[Any]] = []
        self._unsent: list[tuple[int | None, str]] = []

    def connect(self) -> None:
        """Connect, and come back whenever the connection ends."""
        if self.connected:
            return
        self.is_active = True
        if not self.manager.is_reconnecting:
            self.manager.open()
        if self.manager.state == "open":
            self.manager_open()

    def emit(self, name: str, *args: Any, ack: OnAck | None = None, timeout_s: float | None = None) -> None:
        """Emit an event, now or when it is connected; without a timeout, a disconnect leaves `ack` uncalled."""
        number = None
        if ack is not None:
            number, self._next = self._next, self._next + 1
            timer = None if timeout_s is None else self._tab.timer(timeout_s, self._timed_out, number)
            self._acks[number] = Pending(ack, timer)
        text = encode(EVENT, number, [name, *args])
        engine = self.manager.engine
        if self.connected and engine is not None and not engine.has_ping_expired():
            self.manager.write(text)
        else:
            self._unsent.append((number, text))

    def disconnect(self) -> None:
        """Disconnect, and don't come back."""
        if self.connected:
            self.manager.write(encode(DISCONNECT, None, None))
        self._destroy()
        if self.connected:
            self.manager_close("io client disconnect")

    def stop(self) -> None:
        """Give up: the tab is closed."""
        self.is_active = self.connected = False
        self.manager.stop()
        for pending in self._acks.values():
            if pending.timer is not None:
                pending.timer.cancel()
        self._acks.clear()

    # -- the manager's

    def manager_open(self) -> None:
        if callable(self._auth):
            self._auth(self._send_connect)
        else:
            self._send_connect(self._auth)

    def manager_error(self, message: str, data: Any) -> None:
        if not self.connected:
            self._listener.on_connect_error(message, data)

    def manager_close(self, reason: str) -> None:
        self.connected = False
        self.id = None
        self._listener.on_disconnect(reason)
        unsent = dict(self._unsent)
        for number in [number for number in self._acks if number not in unsent]:
            call, timer = self._acks.pop(number)
            if timer is not None:
                # The library leaves the timer alone until it calls the function, which stops it.
                timer.cancel()
                call("socket has been disconnected")

    def manager_packet(self, packet: Packet) -> None:
        kind, number, data = packet
        if kind == EVENT:
            self._event(number, data)
        elif kind == ACK:
            self._acked(number, data)
        elif kind == CONNECT:
            self._connected(data)
        elif kind == DISCONNECT:
            self._destroy()
            self.manager_close("io server disconnect")
        elif kind == CONNECT_ERROR:
            self._destroy()
            refusal = data if isinstance(data, dict) else {}
            self._listener.on_connect_error(str(refusal.get("message")), refusal.get("data"))

    def manager_upgrade(self) -> None:
        self._listener.on_upgrade()

    def manager_attempt(self, number: int) -> None:
        self._listener.on_reconnect_attempt(number)

    def manager_gave_up(self) -> None:
        self._listener.on_reconnect_failed()

    # -- inside

    def _send_connect(self, auth: Mapping[str, Any] | None) -> None:
        data = None if auth is None else dict(auth)
        if self.pid is not None:
            place = {"pid": self.pid} | ({} if self.offset is None else {"offset": self.offset})
            data = place | (data or {})
        self.manager.write(encode(CONNECT, None, data))

    def _connected(self, data: Any) -> None:
        if not isinstance(data, dict) or not data.get("sid"):
            self._listener.on_connect_error("a server of version 2", None)
            return
        self.id = data["sid"]
        pid = data.get("pid")
        self.recovered = bool(pid) and self.pid == pid
        self.pid = pid
        self.connected = True
        for args in self._received:
            self._tell(args)
        self._received = []
        for _, text in self._unsent:
            self.manager.write(text)
        self._unsent = []
        self._listener.on_connect()

    def _event(self, number: int | None, args: list[Any] | None) -> None:
        args = args or []
        if number is not None:
            args.append(partial(self._acknowledge, number))
        if self.connected:
            self._tell(args)
        else:
            self._received.append(args)

    def _tell(self, args: list[Any]) -> None:
        if args:
            self._listener.on_event(args[0], args[1:])
            if self.pid and isinstance(args[-1], str):
                self.offset = args[-1]

    def _acknowledge(self, number: int, *args: Any) -> None:
        self.manager.write(encode(ACK, number, list(args)))

    def _acked(self, number: int | None, data: list[Any]) -> None:
        pending = self._acks.pop(number, None) if number is not None else None
        if pending is not None:
            if pending.timer is not None:
                pending.timer.cancel()
            pending.call(None, *data)

    def _timed_out(self, number: int) -> None:
        call = self._acks.pop(number).call
        self._unsent = [(other, text) for other, text in self._unsent if other != number]
        call("operation has timed out")

    def _destroy(self) -> None:
        self.is_active = False
        self.manager.close()
