"""The share of one socket: messages handled in a row before the others get their turn. Pure."""

from typing import Final

TURN: Final = 32

# A message of up to 2 KiB counts once: what a client says is small, and what is not takes its time to decode.
_SMALL_BITS: Final = 11


# Reading a frame takes less than handling a message, but a message may come in a thousand of them.
_FRAME_BITS: Final = 3


def share(message: str | bytes, frames: int = 1) -> int:
    """Return what a message takes of a turn that came in so many frames."""
    return 1 + (len(message) >> _SMALL_BITS) + (frames >> _FRAME_BITS)
