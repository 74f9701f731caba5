"""Who is there, in Redis: presence, viewers of conversations, typing. `scripts/people.lua` has the rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.bus.commands import Commands
from gateway.settings import Settings
from publisher import wire
from publisher.rooms import Room

# Leases renewed by one call, which holds Redis up for that long.
RENEW_BATCH = 500


class PresenceTimes(NamedTuple):
    """Times of presence, in seconds."""

    lease_s: float = 30.0
    """How long a socket counts as there after its replica said so: all that a replica that was killed says."""
    grace_s: float = 5.0
    """How long a user whose last socket went still counts as online."""
    typing_s: float = 6.0
    """How long typing lasts that nobody ends."""

    @property
    def renew_every_s(self) -> float:
        """How often leases are renewed: one may be late, or two may be lost."""
        return self.lease_s / 3


def presence_times(settings: Settings) -> PresenceTimes:
    """Give the times as they are configured."""
    return PresenceTimes(settings.presence_lease_s, settings.presence_grace_s, settings.typing_timeout_s)


class Swept(NamedTuple):
    """What became of a sweep."""

    delay_ms: int
    """When the next one is due, -1 for when the leases are renewed anyway."""
    unknown: list[int]
    """Which of the sockets were taken for gone and have to come anew."""


class RoomPeople(NamedTuple):
    """The people of one conversation."""

    viewers: bytes
    """The body of an event that names them."""
    typists: list[str]


class People:
    """The scripts on people. Every method raises `LinkDown` or `ReplyError`."""

    def __init__(self, commands: Commands, times: PresenceTimes) -> None:
        self.times = times
        self._commands = commands
        self._sweep = commands.script("people", "sweep_people")
        self._type = commands.script("people", "type")
        self._read = commands.script("people", "read_people")

    async def sweep(self, tenant: str, sockets: Sequence[tuple[str, str]] = ()) -> Swept:
        """Renew the leases of sockets, each a pid and its user, and do what is due for their tenant."""
        leases = [f"{pid} {user_id}" for pid, user_id in sockets]
        lease_ms = int(self.times.lease_s * 1000)
        keys = [wire.meta_key(tenant)]
        delay, *unknown = await self._commands.run(
            self._sweep, keys, wire.prefix(tenant), "PUBLISH", lease_ms, *leases
        )
        return Swept(delay, unknown)

    async def type(self, tenant: str, room: Room, user_id: str, skip: str, *, typing: bool) -> int:
        """Note that a user types, or not any more; gives the ms after which a sweep is due, -1 for none."""
        keys = [wire.meta_key(tenant)]
        ends_in_ms = int(self.times.typing_s * 1000) if typing else 0
        prefix = wire.prefix(tenant)
        delay: int = await self._commands.run(self._type, keys, prefix, "PUBLISH", room, user_id, skip, ends_in_ms)
        return delay

    async def read(self, tenant: str, rooms: Iterable[Room]) -> list[RoomPeople]:
        """Tell who looks at conversations and who types there."""
        keys = [wire.meta_key(tenant)]
        found = await self._commands.run(self._read, keys, wire.prefix(tenant), "PUBLISH", *rooms)
        return [RoomPeople(viewers, [typist.decode() for typist in typists]) for viewers, typists in found]


def online_key(tenant: str) -> str:
    """Name the sorted set of the users who are online."""
    return f"{wire.prefix(tenant)}online"
