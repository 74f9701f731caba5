"""python-socketio's manager, without work here: a room is a Redis channel, and the hub delivers its events."""

from __future__ import annotations

from typing import Any

import socketio


class RoomManager(socketio.AsyncRedisManager):  # type: ignore[misc]  # upstream is not typed
    """The Redis manager without the channel on which upstream sends every event to every replica."""

    def initialize(self) -> None:
        """Start nothing: `RoomSubscriptions` hears the channels of rooms."""

    async def emit(self, *args: Any, **kwargs: Any) -> None:
        """Raise `NotImplementedError`: events are published with the publisher."""
        raise NotImplementedError("rooms are Redis channels: publish the event with the publisher")

    async def trigger_callback(self, sid: str, id: int, data: Any) -> None:
        """Ignore an ack: the gateway asks browsers for none."""
