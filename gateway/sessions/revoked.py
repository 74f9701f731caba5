"""The access that a backend took away from a user, as Redis remembers it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.core.model import Identity
from publisher.rooms import Room

_ALL, _BEFORE, _TOKEN = "*", "before", "token/"


class Revoked:
    """The fields of one user's hash: `*`, `before`, `token/<id>`, or a room."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields

    def ends(self, opened_at: int) -> bool:
        """Return whether every session that was opened by then is over."""
        return int(self._fields.get(_ALL, 0)) > opened_at

    def blocks(self, identity: Identity) -> bool:
        """Return whether a token opens nothing any more; one that does not say when it was issued is old."""
        if not self._fields:
            return False
        if identity.token_id and _TOKEN + identity.token_id in self._fields:
            return True
        return identity.issued_at < float(self._fields.get(_BEFORE, 0))

    def takes(self, room: Room, joined_at: int) -> bool:
        """Return whether a room that was joined then was taken away since."""
        return joined_at < int(self._fields.get(room, 0))

    def rooms(self) -> Iterator[tuple[Room, int]]:
        """Return the rooms that were taken away, each with the seq at which."""
        for name, seq in self._fields.items():
            if ":" in name and not name.startswith(_TOKEN):
                yield Room(name), int(seq)
