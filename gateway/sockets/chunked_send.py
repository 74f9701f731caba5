"""Sending a lot to one socket without taking it for a slow one.

A socket that does not read is cut when its unsent bytes pass a limit. A replay may be larger than that limit
all by itself; so it goes out in portions, each when the one before has been taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from gateway.core.frames import Frame
from gateway.core.model import MemberSocket

# How often to look whether a portion has been taken: the engine keeps nobody waiting, so it calls nobody back.
LOOK_S = 0.02


Sleep = Callable[[float], Awaitable[None]]


def is_small(frames: Iterable[Frame], portion_bytes: int) -> bool:
    """Return whether frames may be sent at once."""
    return sum(len(frame.wire) for frame in frames) <= portion_bytes


async def send_chunked(
    socket: MemberSocket, frames: Iterable[Frame], portion_bytes: int, sleep: Sleep = asyncio.sleep
) -> None:
    """Send frames in order, as fast as the client takes them; ends early when the socket does.

    A frame that is larger than a portion goes alone.
    """
    portion: list[Frame] = []
    size = 0
    for frame in frames:
        if portion and size + len(frame.wire) > portion_bytes:
            await _send(socket, portion, sleep)
            portion, size = [], 0
        if socket.closed:
            return
        portion.append(frame)
        size += len(frame.wire)
    await _send(socket, portion, sleep)


async def _send(socket: MemberSocket, portion: list[Frame], sleep: Sleep) -> None:
    socket.send_frames(portion)
    while socket.buffered and not socket.closed:
        await sleep(LOOK_S)
