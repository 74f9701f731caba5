"""Tenants and their rooms, as far as this replica has members in them."""

from __future__ import annotations

from gateway.core.limits import LIMITS, Limits
from gateway.core.member import Member
from publisher import wire
from publisher.rooms import Room


class Tenant:
    """One organization's part of this replica.

    `position` is the seq up to which everything of this tenant that concerns this replica has been handed
    out: what comes later is higher. While `backlog` is a list, live messages wait in it for a resync;
    `overrun` says that there were too many and the resync must read once more. `breaks` counts how often
    something may have been missed, whether or not that has been made good.
    """

    __slots__ = (
        "backlog",
        "breaks",
        "epoch",
        "heard_until",
        "id",
        "limits",
        "members",
        "overrun",
        "position",
        "rooms",
    )

    def __init__(self, ident: str, limits: Limits = LIMITS) -> None:
        self.id = ident
        self.limits = limits
        self.epoch: str | None = None
        self.position = 0
        self.rooms: dict[Room, RoomState] = {}
        self.members: set[Member] = set()
        self.backlog: list[tuple[RoomState, wire.Message]] | None = None
        self.overrun = False
        self.breaks = 0
        self.heard_until: int | None = None
        """Seq up to which everything was heard for certain, while what came later has yet to be made good."""


class RoomState:
    """One room on this replica, from its first local member until some time after its last.

    `last_seq` is the newest seq handed out here, None until the room's place is known; from it a resync goes on.
    No member enters before that: what it misses of such a room would show nowhere.
    `ready` is whatever the shell waits on while the room is not heard yet.
    """

    __slots__ = ("_everyone", "channel", "last_seq", "members", "name", "newest", "pins", "ready", "tenant")

    def __init__(self, tenant: Tenant, name: Room) -> None:
        self.tenant = tenant
        self.name = name
        self.channel = wire.channel(tenant.id, name).encode()
        self.members: dict[Member, None] = {}
        self.last_seq: int | None = None
        self.newest = 0
        """Seq of the newest event that was handed out, 0 for none; a room without events has a `last_seq`, too."""
        self.pins = 0
        self.ready: object | None = None
        self._everyone: tuple[Member, ...] | None = ()

    def add(self, member: Member, joined_at: int) -> None:
        """Make a socket a member that gets every event above `joined_at`."""
        assert self.last_seq is not None, "the room's place is not known"
        self.members[member] = None
        self._everyone = None
        member.rooms[self] = joined_at

    def remove(self, member: Member) -> bool:
        """Take a socket out; False when it was not in."""
        if member.rooms.pop(self, None) is None:
            return False
        self.members.pop(member, None)
        self._everyone = None
        return True

    def everyone(self) -> tuple[Member, ...]:
        """Give the members as they are now; kept from one event to the next while nobody comes or goes."""
        if self._everyone is None:
            self._everyone = tuple(self.members)
        return self._everyone

    @property
    def in_use(self) -> bool:
        """Tell whether the room must stay subscribed."""
        return bool(self.members) or self.pins > 0
