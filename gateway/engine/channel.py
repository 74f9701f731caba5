"""The interface between a session and its transports."""

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.core.frames import Frame


class Channel(Protocol):
    """The transport of a session: long-polling or a websocket."""

    @property
    def send(self) -> Callable[[Frame], None]:
        """The function that sends or queues a packet; it never blocks, raises or calls back into the session."""

    @property
    def buffered(self) -> int:
        """The number of bytes that the peer has not read yet."""

    def send_all(self, frames: Sequence[Frame]) -> None:
        """Send or queue several packets, as `send` does."""

    def widen(self, max_bytes: int) -> None:
        """Set the size limit of incoming messages, in bytes."""

    def end(self, reason: str, code: int, text: str) -> None:
        """Send a close packet or frame and close; the session no longer refers to the channel."""

    def resume(self) -> None:
        """Continue to read: the inbox has room again."""


class Candidate(Protocol):
    """A websocket during an upgrade: a session may move to it from long-polling."""

    def cancel(self) -> None:
        """Close the websocket; the session is closed, or stays with long-polling."""


class Parting(Protocol):
    """A closed long-polling session whose last packets wait for a poll."""

    @property
    def empty(self) -> bool:
        """Return whether no packet waits for a poll."""

    def take_payload(self) -> bytes:
        """Remove waiting packets and return them as a payload."""


class Closing(Protocol):
    """A websocket with a closing handshake under way."""

    def abort(self) -> None:
        """Reset the connection; unsent bytes are dropped."""


class Owner(Protocol):
    """The owner of a websocket: a session, or an upgrade in progress."""

    @property
    def full(self) -> bool:
        """Return whether the websocket must stop reading until `resume`."""

    @property
    def max_bytes(self) -> int:
        """The size limit of incoming messages, in bytes."""

    def receive(self, message: str | bytes) -> None:
        """Handle one Engine.IO packet from the client; raises :class:`ProtocolViolation`."""

    def charge(self) -> bool:
        """Charge the rate limit for a frame without a message; return whether the session stays open."""

    def failed(self, error: Exception) -> None:
        """Handle a violation of the websocket protocol by the peer."""

    def mute(self) -> None:
        """Drop all later sends; safe to call inside a send."""

    def lost(self, reason: str) -> None:
        """Handle the loss of the connection, which is closed already."""
