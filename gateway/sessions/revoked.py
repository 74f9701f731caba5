"""The access of a user that a backend has revoked, as Redis remembers it. Pure."""

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
        """Return whether the user was disconnected after the seq at which a session was opened."""
        return int(self._fields.get(_ALL, 0)) > opened_at

    def blocks(self, identity: Identity) -> bool:
        """Return whether a token is void; one that does not say when it was issued counts as old."""
        if not self._fields:
            return False
        if identity.token_id and _TOKEN + identity.token_id in self._fields:
            return True
        return identity.issued_at < float(self._fields.get(_BEFORE, 0))

    def taken_at(self, room: Room, joined_at: int) -> int:
        """Return the seq at which a room was revoked after it had been joined; 0 if it was not."""
        taken_at = int(self._fields.get(room, 0))
        return taken_at if joined_at < taken_at else 0

    def rooms(self) -> Iterator[tuple[Room, int]]:
        """Return the revoked rooms, each with the seq of the revocation."""
        for name, seq in self._fields.items():
            if ":" in name and not name.startswith(_TOKEN):
                yield Room(name), int(seq)
