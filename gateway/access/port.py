"""The interface of access."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from gateway.core.model import Identity
from publisher.rooms import Room


class Access(Protocol):
    """Decides whether a user may be in a room of their own tenant."""

    @property
    def changes(self) -> int:
        """A number that grows with each `invalidate`: an answer from before may be outdated."""

    def may_join(self, identity: Identity, room: Room) -> bool | Awaitable[bool]:
        """Return whether a user may be in a room, or an awaitable of that if the answer takes time.

        The awaitable raises `Unavailable` if there is no answer at present. It is safe to cancel.
        """

    def invalidate(self, tenant: str, user_id: str, room: Room | None = None) -> None:
        """Drop a user's answers, for one room or all, including those under way."""


class Everyone:
    """Allows every user of a tenant in all its rooms."""

    def __init__(self) -> None:
        self.changes = 0

    def may_join(self, identity: Identity, room: Room) -> bool:
        """Return True: without a backend that is asked, everybody may join."""
        return True

    def invalidate(self, tenant: str, user_id: str, room: Room | None = None) -> None:
        """Count a change, so that joins under way ask again; there are no answers to drop."""
        self.changes += 1


EVERYONE = Everyone()
