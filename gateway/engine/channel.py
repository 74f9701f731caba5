"""The interface between a session and its transports."""

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.core.frames import Frame


class Channel(Protocol):
    """The carrier of a session: long-polling or a websocket."""

    @property
    def send(self) -> Callable[[Frame], None]:
        """Sends or queues a packet; never blocks, never raises, never calls back into the session."""

    @property
    def buffered(self) -> int:
        """Bytes that the peer has not taken yet."""

    def send_all(self, frames: Sequence[Frame]) -> None:
        """Send several, under the same promises."""

    def widen(self, max_bytes: int) -> None:
        """Take messages of up to this size from now on."""

    def end(self, reason: str, code: int, text: str) -> None:
        """Say good-bye and close; the session has let go of the channel already."""

    def resume(self) -> None:
        """Go on reading: the inbox has room again."""


class Candidate(Protocol):
    """A websocket that is about to take a session over from long-polling."""

    def cancel(self) -> None:
        """Close it; the session is closed, or stays with long-polling."""


class Owner(Protocol):
    """The owner of a websocket: a session, or an upgrade in progress."""

    @property
    def full(self) -> bool:
        """Return whether to stop reading until `resume`."""

    @property
    def max_bytes(self) -> int:
        """The largest message that it takes."""

    def receive(self, message: str | bytes) -> None:
        """Take one Engine.IO packet; raises :class:`ProtocolViolation`."""

    def charge(self) -> bool:
        """Count a frame that carries no message; return whether to go on."""

    def failed(self, error: Exception) -> None:
        """The peer broke the websocket protocol."""

    def mute(self) -> None:
        """Send nothing more; safe inside a send."""

    def lost(self, reason: str) -> None:
        """The connection is gone."""
