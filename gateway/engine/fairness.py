"""The number of one socket's messages handled in a row before other sockets get their turn. Pure."""

from typing import Final

TURN: Final = 32

# Messages of up to 2 KiB count once. Larger ones count more, because they take longer to decode.
_SMALL_BITS: Final = 11
# Eight frames count as one message: a message may arrive in a thousand frames.
_FRAME_BITS: Final = 3


def share(message: str | bytes, frames: int = 1) -> int:
    """Return the share of a turn, in units of `TURN`, for one message that arrived in `frames` frames."""
    return 1 + (len(message) >> _SMALL_BITS) + (frames >> _FRAME_BITS)
