"""What a page notes besides its diary: when it was connected and where, what it was told, and its troubles."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

_OF_PRESENCE = ("user:status", "user:statuses", "conversation:viewers")


class State(NamedTuple):
    """A conflated event that came; `others` is how much else had come and gone until then."""

    at: float
    key: str
    others: int


class Told(NamedTuple):
    """An event of presence, or the answer to `presence`."""

    at: float
    name: str
    data: dict[str, Any]


class Time:
    """A time from one moment to another; it goes on while `until` is endless."""

    __slots__ = ("since", "until")

    def __init__(self, since: float) -> None:
        self.since = since
        self.until = math.inf

    def __repr__(self) -> str:
        return f"{self.since:.3f} to {self.until:.3f}"


class Notes:
    """All times are the page's."""

    def __init__(self) -> None:
        self.connections: list[Time] = []
        """From each `connected` to the end of its connection."""
        self.stays: dict[str, list[Time]] = {}
        """In each room, also while it was away."""
        self.told: list[Told] = []
        self.states: list[State] = []
        self.unanswered: list[tuple[float, str]] = []
        """What was asked, and not answered on a connection that was still there."""
        self.errors: list[tuple[float, str]] = []
        """What went wrong with its connecting."""
        self.ends: list[tuple[float, str]] = []
        """The ends of its connections, and why."""
        self.tokens: list[tuple[float, float]] = []
        """When a token was taken by the gateway, and when it had been signed."""
        self.taken: list[tuple[float, str]] = []
        """The rooms that it was told that it has left."""
        self.refused: list[tuple[float, str]] = []
        """The codes of refusals."""
        self.typed: list[tuple[float, str, str, bool]] = []
        """Who began or stopped to type, and where."""
        self.fleeting: list[str] = []
        """Ephemeral events."""
        self.others = 0
        """Events, questions and answers so far, except conflated events."""

    def heard(self, at: float, name: str, data: dict[str, Any]) -> None:
        """Take down an event."""
        if "conflate" in data:
            self.states.append(State(at, data["conflate"], self.others))
            return
        self.others += 1
        if name in _OF_PRESENCE:
            self.told.append(Told(at, name, data))
        elif name == "user_typing":
            self.typed.append((at, f"conversation:{data['conversation_id']}", data["user_id"], data["typing"]))
        elif name == "error":
            self.refused.append((at, data["code"]))
        elif "fleeting" in data:
            self.fleeting.append(data["fleeting"])

    def connected(self, at: float) -> None:
        """Take down that it is connected."""
        self.disconnected(at)
        self.connections.append(Time(at))

    def disconnected(self, at: float) -> None:
        """Take down that it is not connected any more."""
        if self.connections:
            _end(self.connections[-1], at)

    def entered(self, room: str, at: float) -> None:
        """Take down that it is in a room."""
        stays = self.stays.setdefault(room, [])
        if not stays or stays[-1].until < math.inf:
            stays.append(Time(at))

    def went(self, room: str, at: float) -> None:
        """Take down that it wants to be in a room no more, or is not."""
        if room in self.stays:
            _end(self.stays[room][-1], at)


def _end(time: Time, at: float) -> None:
    time.until = min(time.until, at)
