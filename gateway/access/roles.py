"""Access by role: some kinds of rooms are only open to some roles."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from gateway.access.port import Access
from gateway.core.model import Identity
from publisher.rooms import Room, room_kind


class Roles:
    """Asks `then` if the role is sufficient. A kind of room without a pair is open to every role."""

    def __init__(self, pairs: Iterable[str], then: Access) -> None:
        """Read pairs of a kind and a role, like `campaign:admin`; a kind may be in several pairs."""
        self._roles: dict[str, set[str]] = {}
        for pair in pairs:
            kind, _, role = pair.partition(":")
            self._roles.setdefault(kind, set()).add(role)
        self._then = then

    @property
    def changes(self) -> int:
        """The number of `then`: roles come with the token and are not cached here."""
        return self._then.changes

    def may_join(self, identity: Identity, room: Room) -> bool | Awaitable[bool]:
        """Return False if the role is not sufficient, else the answer of `then`."""
        roles = self._roles.get(room_kind(room))
        if roles is not None and identity.role not in roles:
            return False
        return self._then.may_join(identity, room)

    def invalidate(self, tenant: str, user_id: str, room: Room | None = None) -> None:
        """Drop what `then` has cached about a user; roles are in the token, and not cached."""
        self._then.invalidate(tenant, user_id, room)
