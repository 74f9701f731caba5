"""A session of Engine.IO, as the `Socket` of engine.io-client 6.6 keeps it (socket.js), call for call."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from tests.simulation.client.tab import Tab
from tests.simulation.client.transports import Polling, Transport, WebSocketTransport, within

TRANSPORTS: dict[str, type[Transport]] = {"polling": Polling, "websocket": WebSocketTransport}


class EngineListener(Protocol):
    """Hears of a session: the manager."""

    def engine_open(self) -> None: ...
    def engine_data(self, text: str) -> None: ...
    def engine_error(self, message: str) -> None: ...
    def engine_close(self, reason: str) -> None: ...
    def engine_upgrade(self) -> None: ...


class Engine:
    """One session, from its first request to its end; it opens at once."""

    def __init__(self, tab: Tab, listener: EngineListener) -> None:
        self.tab = tab
        self.listener: EngineListener | None = listener
        self.sid = ""
        self.state: Literal["opening", "open", "closing", "closed"] = "opening"
        self.upgrading = False
        self._address = tab.balancer() if tab.options.sticky else None
        self._unsent: list[str] = []
        self._previous = 0
        """How many of the unsent packets are with the transport."""
        self._probes: list[Probe] = []
        self._after_drain: Callable[[], None] | None = None
        self._after_upgrade: Callable[[], None] | None = None
        self._ping_s = 0.0
        self._ping_timer: asyncio.TimerHandle | None = None
        self._ping_deadline = math.inf
        self._max_payload = 0
        self.transport = self.new_transport(tab.options.transports[0], self)
        self.transport.open()

    def new_transport(self, name: str, listener: Engine | Probe) -> Transport:
        """Return a transport of this session."""
        return TRANSPORTS[name](self.tab, self._address, self.sid, listener)

    @property
    def is_closed(self) -> bool:
        """Whether the session has ended."""
        return self.state == "closed"

    def has_ping_expired(self) -> bool:
        """Return whether the heartbeat is overdue; if so, close: timers may be late where the page was frozen."""
        if not self._ping_deadline:
            return True
        if self.tab.loop.time() <= self._ping_deadline:
            return False
        self._ping_deadline = 0.0
        self.tab.tick(self._ping_timed_out)
        return True

    def write(self, text: str) -> None:
        """Send a message, unless the session is closing or closed."""
        self._send("4" + text)

    def close(self) -> None:
        """Close after everything is sent."""
        if self.state not in ("opening", "open"):
            return
        self.state = "closing"
        if self._unsent:
            self._after_drain = self._close_after_upgrade
        else:
            self._close_after_upgrade()

    def stop(self) -> None:
        """Give up: the tab is closed."""
        self.state = "closed"
        self.listener = None
        self._stop_ping_timer()

    def lose_network(self) -> None:
        """Do what the browser's event "offline" brings about."""
        self._closed("transport close")

    def _close_after_upgrade(self) -> None:
        if self.upgrading:
            self._after_upgrade = self._close_now
        else:
            self._close_now()

    def _close_now(self) -> None:
        self._closed("forced close")
        self.transport.close()

    # -- the transport's

    def transport_open(self) -> None:
        """Do nothing: what counts is the open packet."""

    def transport_packet(self, packet: str) -> None:
        if self.state == "closed":
            return
        kind = packet[:1]
        if kind == "4":
            if self.listener is not None:
                self.listener.engine_data(packet[1:])
        elif kind == "2":
            self._send("3")
            self._restart_ping_timer()
        elif kind == "0":
            self._handshaken(json.loads(packet[1:]))
        elif kind not in ("1", "3", "5", "6"):
            self.transport_error("server error")

    def transport_drain(self) -> None:
        del self._unsent[: self._previous]
        self._previous = 0
        if self._unsent:
            self._flush()
        elif self._after_drain is not None:
            after, self._after_drain = self._after_drain, None
            after()

    def transport_error(self, message: str) -> None:
        if self.listener is not None:
            self.listener.engine_error(message)
        self._closed("transport error")

    def transport_close(self) -> None:
        self._closed("transport close")

    # -- inside

    def _handshaken(self, data: dict[str, Any]) -> None:
        self.sid = data["sid"]
        self.transport.query["sid"] = self.sid
        self._ping_s = (data["pingInterval"] + data["pingTimeout"]) / 1000
        self._max_payload = data["maxPayload"]
        self.state = "open"
        if self.listener is not None:
            self.listener.engine_open()
        self._flush()
        for name in data["upgrades"] if self.state == "open" else ():
            if name in self.tab.options.transports:
                self._probes.append(Probe(self, name))
        if not self.is_closed:
            self._restart_ping_timer()

    def _send(self, packet: str) -> None:
        if self.state in ("opening", "open"):
            self._unsent.append(packet)
            self._flush()

    def _flush(self) -> None:
        if self.state != "closed" and self.transport.writable and not self.upgrading and self._unsent:
            packets = self._writable()
            self.transport.send(packets)
            self._previous = len(packets)

    def _writable(self) -> Sequence[str]:
        if self._max_payload and self.transport.name == "polling" and len(self._unsent) > 1:
            return within(self._unsent, self._max_payload)
        return self._unsent

    def _stop_ping_timer(self) -> None:
        if self._ping_timer is not None:
            self._ping_timer.cancel()
            self._ping_timer = None

    def _restart_ping_timer(self) -> None:
        self._stop_ping_timer()
        self._ping_deadline = self.tab.loop.time() + self._ping_s
        self._ping_timer = self.tab.timer(self._ping_s, self._ping_timed_out)

    def _ping_timed_out(self) -> None:
        self._closed("ping timeout")

    def _closed(self, reason: str) -> None:
        if self.state == "closed":
            return
        self._stop_ping_timer()
        self.transport.detach()
        self.transport.close()
        self.state = "closed"
        self.sid = ""
        if self.listener is not None:
            self.listener.engine_close(reason)
        for probe in self._probes:
            probe.end()
        self._unsent = []
        self._previous = 0

    # -- the probe's

    def upgraded(self, transport: Transport) -> None:
        """Go on with the transport that a probe has tried."""
        self.transport.detach()
        self.transport = transport
        transport.listener = self
        transport.send(("5",))
        if self.listener is not None:
            self.listener.engine_upgrade()
        self.probed()
        self.upgrading = False
        self._flush()

    def probed(self) -> None:
        """Do what waits for the end of an upgrade, however it ended."""
        if self._after_upgrade is not None:
            after, self._after_upgrade = self._after_upgrade, None
            after()


class Probe:
    """Tries another transport beside the present one.

    If it breaks while the polling pauses, engine.io-client leaves `upgrading` set: it neither polls nor writes
    until its heartbeat fails. So does this.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._is_over = False
        self._has_answer = False
        self._transport = engine.new_transport(name, self)
        self._transport.open()

    def end(self) -> None:
        """Stop: the probe has failed, or the session has ended."""
        if not self._is_over:
            self._is_over = True
            self._transport.detach()
            self._transport.close()
            self._engine.probed()

    def transport_open(self) -> None:
        self._transport.send(("2probe",))

    def transport_packet(self, packet: str) -> None:
        if self._has_answer:
            return
        self._has_answer = True
        if packet == "3probe":
            self._engine.upgrading = True
            assert isinstance(self._engine.transport, Polling)
            self._engine.transport.pause(self._paused)
        else:
            self._engine.probed()

    def _paused(self) -> None:
        if not self._is_over and self._engine.state != "closed":
            self._is_over = True
            self._engine.upgraded(self._transport)

    def transport_drain(self) -> None:
        """Do nothing: a probe has nothing more to send."""

    def transport_error(self, message: str) -> None:
        self.end()

    def transport_close(self) -> None:
        self.end()
