"""Rooms of some kinds are for some roles."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from gateway.access.port import Access
from gateway.core.model import Identity
from publisher.rooms import Room, room_kind


class Roles:
    """Asks `then` about those whose role is enough; a kind of room that no pair names is open to every role."""

    def __init__(self, pairs: Iterable[str], then: Access) -> None:
        """Take pairs such as `campaign:admin`; a kind may be in several."""
        self._roles: dict[str, set[str]] = {}
        for pair in pairs:
            kind, _, role = pair.partition(":")
            self._roles.setdefault(kind, set()).add(role)
        self._then = then

    @property
    def changes(self) -> int:
        """As the next one's: a role comes with the token and is not remembered here."""
        return self._then.changes

    def may_join(self, identity: Identity, room: Room) -> bool | Awaitable[bool]:
        """Say no where the role is not enough, and what the next one says otherwise."""
        roles = self._roles.get(room_kind(room))
        if roles is not None and identity.role not in roles:
            return False
        return self._then.may_join(identity, room)

    def invalidate(self, tenant: str, user_id: str, room: Room | None = None) -> None:
        """Have the next one forget."""
        self._then.invalidate(tenant, user_id, room)
