"""The stays of a socket in rooms that it has left: which of their events it got live. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from publisher.offsets import SEQ_PER_S
from publisher.rooms import Room

# Most stays in left rooms that a socket's member and session remember.
MAX_STAYS = 32
# A socket may get events of a room for this long, as a difference of seqs, after its session says that it left:
# until its replica has Redis' answer, or closes the socket.
LEAVING = 10 * SEQ_PER_S


class Stay(NamedTuple):
    """The time of a member in a room.

    The fields are seqs. The member got every event of the room after `joined_at` and up to `left_at`. It may have
    got those up to `maybe_until`, and got none later.
    """

    room: Room
    joined_at: int
    left_at: int
    maybe_until: int = 0

    def up_to(self, seq: int) -> Stay:
        """Return the part of the stay up to a seq."""
        return self._replace(left_at=min(self.left_at, seq), maybe_until=min(self.maybe_until, seq))


def latest_stays(stays: Sequence[Stay]) -> tuple[list[Stay], int]:
    """Return the last `MAX_STAYS` stays, and the highest seq at which one of the others ended; 0 for none."""
    forgotten = stays[:-MAX_STAYS]
    return list(stays[-MAX_STAYS:]), max((stay.left_at for stay in forgotten), default=0)


def pack(stays: Iterable[Stay]) -> str:
    """Return stays in rooms as the text in which a session stores them."""
    return " ".join(f"{stay.room} {stay.joined_at} {stay.left_at}" for stay in stays)


def unpack(text: str) -> tuple[Stay, ...]:
    """Return the stays of a session; each room was left within `LEAVING` after the seq that is stored."""
    words = iter(text.split(" ") if text else ())
    return tuple(
        Stay(Room(room), int(joined_at), int(left_at), int(left_at) + LEAVING)
        for room, joined_at, left_at in zip(words, words, words, strict=True)
    )
