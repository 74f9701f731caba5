"""The port: one question, and how to have an answer forgotten."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from gateway.core.model import Identity
from publisher.rooms import Room


class Access(Protocol):
    """Decides who may be in a room of their own tenant."""

    @property
    def changes(self) -> int:
        """A number that grows when answers are forgotten: one that was given before may be wrong now."""

    def may_join(self, identity: Identity, room: Room) -> bool | Awaitable[bool]:
        """Return whether a user may be in a room; at once where nobody has to be asked.

        What is awaited raises `Unavailable` where nobody can say at the moment. Safe to cancel.
        """

    def invalidate(self, tenant: str, user_id: str, room: Room | None = None) -> None:
        """Forget what was answered about a user, and one room or all, also what is being asked just now."""


class Everyone:
    """Everyone of the tenant may be in all its rooms."""

    def __init__(self) -> None:
        self.changes = 0

    def may_join(self, identity: Identity, room: Room) -> bool:
        """Say yes."""
        return True

    def invalidate(self, tenant: str, user_id: str, room: Room | None = None) -> None:
        """Have joins that are under way look again; there is nothing to forget."""
        self.changes += 1

    def forget_all(self) -> None:
        """Do as `invalidate` does."""
        self.changes += 1


EVERYONE = Everyone()
