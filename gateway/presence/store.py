"""Presence in Redis: who is online, viewers of conversations, typing.

The rules are in this folder: `presence.lua`, `viewers.lua`, `typing.lua`, and `tenant.lua`, which they begin with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.redis.commands import Commands
from gateway.settings import Settings
from publisher import wire
from publisher.rooms import Room

SCRIPTS = ("presence/tenant", "presence/viewers", "presence/typing", "presence/presence")
"""What stands before every script that changes or reads them."""
# Rooms read by one call, which holds Redis up for that long.
ROOM_BATCH = 50
# What leases and clocks may add to a session's life.
MARGIN_S = 20.0


class PresenceTimes(NamedTuple):
    """Times of presence, in seconds."""

    lease_s: float = 30.0
    """How long a socket counts as there after its replica said so: all that a replica that was killed says."""
    grace_s: float = 5.0
    """How long a user whose last socket went still counts as online."""
    typing_s: float = 6.0
    """How long typing lasts that nobody ends."""
    missed_s: float = 305.0
    """For how long a socket may have been away, or dead, that comes back and is told who came and went."""

    @property
    def renew_every_s(self) -> float:
        """Return the seconds between two renewals of a lease: one may be late, or two may be lost."""
        return self.lease_s / 3


def presence_times(settings: Settings) -> PresenceTimes:
    """Return the times as they are configured."""
    dead_s = settings.ping_interval_s + settings.ping_timeout_s
    return PresenceTimes(
        settings.presence_lease_s,
        settings.presence_grace_s,
        settings.typing_timeout_s,
        # A session lives for twice the window, or some seconds more than that.
        missed_s=2 * settings.recovery_window_s + dead_s + MARGIN_S,
    )


class Swept(NamedTuple):
    """The outcome of a sweep."""

    delay_ms: int
    """When the next one is due, -1 for when the leases are renewed anyway."""
    unknown: list[int]
    """Which of the sockets were taken for gone and have to come anew."""


class RoomPresence(NamedTuple):
    """The people of one conversation."""

    viewers: bytes | None
    """The body of an event that names those who look at it; None where its whole room was just told."""
    typists: list[str]
    stopped: list[str]
    """Who has stopped typing since the asking socket last heard."""


class PresenceSnapshot(NamedTuple):
    """The people of some conversations, as one socket is told of them."""

    seq: int
    """What was told at or below it came before."""
    statuses: bytes | None
    """The body of an event that says who came and went since the socket last heard."""
    rooms: list[RoomPresence]


def room_presence(viewers: bytes | None, typists: Iterable[bytes], stopped: Iterable[bytes]) -> RoomPresence:
    """Read what a script says of one room."""
    return RoomPresence(viewers, [name.decode() for name in typists], [name.decode() for name in stopped])


class PresenceStore:
    """The scripts on presence. Every method raises `RedisUnavailable` or `ReplyError`."""

    def __init__(self, commands: Commands, times: PresenceTimes) -> None:
        self.times = times
        self._commands = commands
        self._sweep = commands.script(*SCRIPTS, "presence/sweep_presence")
        self._type = commands.script(*SCRIPTS, "presence/type")
        self._read = commands.script(*SCRIPTS, "presence/read_presence")
        self._tell = commands.script(*SCRIPTS, "presence/tell_presence")

    async def sweep(self, tenant: str, sockets: Sequence[tuple[str, str]] = ()) -> Swept:
        """Renew the leases of sockets, each a pid and its user, and do what is due for their tenant."""
        leases = [f"{pid} {user_id}" for pid, user_id in sockets]
        lease_ms = int(self.times.lease_s * 1000)
        keys, prefix, missed_ms = [wire.meta_key(tenant)], wire.prefix(tenant), int(self.times.missed_s * 1000)
        delay, *unknown = await self._commands.run(
            self._sweep, keys, prefix, self._commands.publishing, lease_ms, missed_ms, *leases
        )
        return Swept(delay, unknown)

    async def type(self, tenant: str, room: Room, pid: str, user_id: str, skip: str, *, typing: bool) -> int:
        """Note that a socket's user types, or not any more; return the ms after which a sweep is due, -1 for none.

        `skip` need not hear of it: a sid, or `@` and a user.
        """
        keys = [wire.meta_key(tenant)]
        ends_in_ms = int(self.times.typing_s * 1000) if typing else 0
        prefix = wire.prefix(tenant)
        delay: int = await self._commands.run(
            self._type, keys, prefix, self._commands.publishing, room, pid, user_id, skip, ends_in_ms
        )
        return delay

    async def read(
        self, tenant: str, rooms: Iterable[Room], user_id: str, after: int | None = None
    ) -> PresenceSnapshot:
        """Return who views conversations and who types there; with `after`, what a socket missed since."""
        keys = [wire.meta_key(tenant)]
        since = "" if after is None else after
        seq, statuses, *found = await self._commands.run(
            self._read, keys, wire.prefix(tenant), self._commands.publishing, user_id, since, *rooms
        )
        return PresenceSnapshot(int(seq), statuses, [room_presence(*people) for people in found])

    async def tell_again(self, tenant: str, after: int, rooms: Sequence[Room]) -> int:
        """Have everybody told what a replica may not have heard since `after`; return the ms as `type` does."""
        keys = [wire.meta_key(tenant)]
        delays: list[int] = []
        for i in range(0, max(len(rooms), 1), ROOM_BATCH):
            batch = rooms[i : i + ROOM_BATCH]
            prefix, publishing = wire.prefix(tenant), self._commands.publishing
            delays.append(await self._commands.run(self._tell, keys, prefix, publishing, after, *batch))
        return min((delay for delay in delays if delay >= 0), default=-1)


def online_key(tenant: str) -> str:
    """Name the sorted set of the users who are online."""
    return f"{wire.prefix(tenant)}online"
