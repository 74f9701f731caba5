"""Sending a lot to one socket without taking it for a slow one.

A socket that does not read is cut when its unsent bytes pass a limit. A replay may be larger than that limit
all by itself; so it goes out in portions, each when the one before has been taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gateway.core.frames import Frame
from gateway.engine import EngineSocket

# Half of the least `max_buffer_bytes`, as is the largest event: beside either there is room for live ones.
PORTION_BYTES = 32 * 1024
# How often to look whether a portion has been taken: the engine keeps nobody waiting, so it calls nobody back.
LOOK_S = 0.02


def is_small(frames: Iterable[Frame]) -> bool:
    """Tell whether frames may be sent at once."""
    return sum(len(frame.wire) for frame in frames) <= PORTION_BYTES


async def send_chunked(socket: EngineSocket, frames: Iterable[Frame]) -> None:
    """Send frames in order, as fast as the client takes them; ends early when the socket does.

    A frame that is larger than a portion goes alone.
    """
    portion: list[Frame] = []
    size = 0
    for frame in frames:
        if portion and size + len(frame.wire) > PORTION_BYTES:
            await _send(socket, portion)
            portion, size = [], 0
        if socket.closed:
            return
        portion.append(frame)
        size += len(frame.wire)
    await _send(socket, portion)


async def _send(socket: EngineSocket, portion: list[Frame]) -> None:
    socket.send_frames(portion)
    while socket.buffered and not socket.closed:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)
