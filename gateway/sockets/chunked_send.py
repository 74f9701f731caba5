"""Sending much to one socket without cutting it as slow.

A socket that does not read is cut when its unsent bytes pass a limit. A replay alone may be larger than that. So
it is sent in portions, each after the client has read the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gateway.core.frames import Frame
from gateway.core.model import MemberSocket

# Seconds between two checks whether a portion has been read: the engine has no callback for that.
LOOK_S = 0.02


def is_small(frames: Iterable[Frame], portion_bytes: int) -> bool:
    """Return whether frames fit into one portion, so that they may be sent at once."""
    return sum(len(frame.wire) for frame in frames) <= portion_bytes


async def send_chunked(socket: MemberSocket, frames: Iterable[Frame], portion_bytes: int) -> None:
    """Send frames in order, as fast as the client reads them; stop if the socket is closed.

    A frame that is larger than a portion is sent alone.
    """
    portion: list[Frame] = []
    size = 0
    for frame in frames:
        if portion and size + len(frame.wire) > portion_bytes:
            await _send(socket, portion)
            portion, size = [], 0
        if socket.closed:
            return
        portion.append(frame)
        size += len(frame.wire)
    await _send(socket, portion)


async def _send(socket: MemberSocket, portion: list[Frame]) -> None:
    socket.send_frames(portion)
    while socket.buffered and not socket.closed:  # noqa: ASYNC110  # the engine has no event for that
        await asyncio.sleep(LOOK_S)
