"""The upgrade from long-polling to a websocket: no packet is lost, doubled or reordered."""

from typing import Final

from gateway.engine.control_frames import PROBE_PONG
from gateway.engine.errors import CloseCode, CloseReason
from gateway.engine.polling import Polling
from gateway.engine.socket import EngineSocket
from gateway.engine.websocket import WebSocket

_PROBE: Final = "2probe"
_UPGRADE: Final = "5"


class Upgrade:
    """A websocket under test, beside a long-polling session.

    From the probe on, a poll is answered at once, with queued packets or a noop, so that the client can stop
    polling. Packets queue until the client sends ``5``, and are then sent on the websocket. A websocket that sends
    anything else, or takes longer than `upgrade_timeout_s`, is closed, and the session stays with long-polling.
    """

    __slots__ = ("_polling", "_probed", "_socket", "_timeout", "_websocket")

    def __init__(self, socket: EngineSocket, polling: Polling, websocket: WebSocket) -> None:
        self._socket = socket
        self._polling = polling
        self._websocket: WebSocket | None = websocket
        self._probed = False
        self._timeout = socket.context.timers.call_later(socket.context.options.upgrade_timeout_s, self._abandon)
        socket.candidate = self
        websocket.serve(self)

    @property
    def full(self) -> bool:
        """Return False: an upgrade queues nothing."""
        return False

    @property
    def max_bytes(self) -> int:
        """Return the largest message that the session takes, in bytes."""
        return self._socket.max_bytes

    def receive(self, message: str | bytes) -> None:
        """Handle the probe, then the upgrade packet ``5``; close the websocket on anything else."""
        websocket = self._websocket
        if websocket is None:
            return
        if message == _PROBE and not self._probed:
            self._probed = True
            self._socket.context.upgrading.add(self._socket.sid)
            websocket.send(PROBE_PONG)
            self._polling.hurry(on=True)
        elif message == _UPGRADE and self._probed:
            self._complete(websocket)
        else:
            self._abandon()

    def charge(self) -> bool:
        """Charge the session's rate limit for a frame; return whether the session stays open."""
        return self._socket.charge()

    def failed(self, error: Exception) -> None:
        """Close the websocket after a violation of the protocol."""
        self._abandon()

    def mute(self) -> None:
        """Do nothing: an upgrade sends no messages."""

    def lost(self, reason: str) -> None:
        """End the upgrade, because its websocket is lost; the session keeps polling."""
        self._abandon()

    def cancel(self) -> None:
        """End the upgrade and close its websocket, because the session ends."""
        self._timeout.cancel()
        self._socket.context.upgrading.discard(self._socket.sid)
        websocket, self._websocket = self._websocket, None
        if websocket is not None:
            websocket.end(CloseReason.SERVER, CloseCode.NORMAL, "session closed")

    def _abandon(self) -> None:
        if self._socket.candidate is self:
            self._socket.candidate = None
            self._polling.hurry(on=False)
        self.cancel()

    def _complete(self, websocket: WebSocket) -> None:
        self._timeout.cancel()
        self._websocket = None
        socket = self._socket
        socket.candidate = None
        socket.context.upgrading.discard(socket.sid)
        waiting = self._polling.retire()
        websocket.serve(socket)
        socket.carry(websocket, "websocket")
        websocket.send_all(waiting)
