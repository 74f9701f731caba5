"""From long-polling to a websocket without losing, doubling or reordering a packet."""

from typing import Final

from gateway.engine.control_frames import PROBE_PONG
from gateway.engine.errors import CloseCode, CloseReason
from gateway.engine.polling import Polling
from gateway.engine.socket import EngineSocket
from gateway.engine.websocket import WebSocket

_PROBE: Final = "2probe"
_UPGRADE: Final = "5"


class Upgrade:
    """A websocket on trial beside a long-polling session.

    From the probe on no poll waits: it is answered with what is queued or with a noop, so that the client can
    stop polling. What is sent until the client says ``5`` queues, and goes out on the websocket. A
    websocket that does anything else, or takes longer than `upgrade_timeout_s`, is closed, and the session
    stays where it is.
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
        """Nothing is queued here."""
        return False

    @property
    def max_bytes(self) -> int:
        """Return the largest message that the session takes, in bytes."""
        return self._socket.max_bytes

    def receive(self, message: str | bytes) -> None:
        """Take the probe, then the client's word that it changes over."""
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
        """Count a frame for the session."""
        return self._socket.charge()

    def failed(self, error: Exception) -> None:
        """The websocket is no good."""
        self._abandon()

    def mute(self) -> None:
        """Nothing is sent here."""

    def lost(self, reason: str) -> None:
        """The websocket went away."""
        self._abandon()

    def cancel(self) -> None:
        """The session is closed: close the websocket with it."""
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
        socket.context.stats.upgraded += 1
        waiting = self._polling.retire()
        websocket.serve(socket)
        socket.carry(websocket, "websocket")
        websocket.send_all(waiting)
