"""Presence in Redis: users online, viewers of conversations, and typing.

The rules are in this folder: `online.lua`, `status_changes.lua`, `viewers.lua`, `typing.lua`, and `tenant.lua`,
which all of them need.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.redis.commands import Commands
from gateway.settings import Settings
from publisher import wire
from publisher.rooms import Room

SCRIPTS = ("presence/tenant", "presence/viewers", "presence/typing", "presence/status_changes", "presence/online")
"""The files with which every script on presence begins."""
# Most rooms in one call. Redis does nothing else meanwhile.
ROOM_BATCH = 50
# Seconds that leases and clocks may add to a session's life.
MARGIN_S = 20.0


class PresenceTimes(NamedTuple):
    """The times for which people count as online and as typing, in seconds."""

    lease_s: float = 30.0
    """Time for which a socket counts as online after a renewal of its lease, even if its replica is killed."""
    grace_s: float = 5.0
    """Time for which a user still counts as online after the last socket went."""
    typing_s: float = 6.0
    """Time after which typing ends by itself."""
    missed_s: float = 305.0
    """Longest time for which a socket may be away, or dead, and still get the changes that it missed."""

    @property
    def renew_every_s(self) -> float:
        """Return the seconds between two renewals of a lease, so that one may be late, or two may be lost."""
        return self.lease_s / 3


def presence_times(settings: Settings) -> PresenceTimes:
    """Return the times for which people count as online and as typing, in seconds, from the settings."""
    dead_s = settings.ping_interval_s + settings.ping_timeout_s
    return PresenceTimes(
        settings.presence_lease_s,
        settings.presence_grace_s,
        settings.typing_timeout_s,
        # A session lives for twice the recovery window, or some seconds longer.
        missed_s=2 * settings.recovery_window_s + dead_s + MARGIN_S,
    )


class Swept(NamedTuple):
    """The answer of a sweep, which ends the leases that nobody renewed, to the replica that ran it."""

    delay_ms: int
    """Ms until the next sweep is due; -1 if none is due before the leases are renewed."""
    unknown: list[int]
    """Indexes of the sockets that counted as gone, and have to enter again."""


class RoomPresence(NamedTuple):
    """The viewers and typists of one conversation, at one moment."""

    viewers: bytes | None
    """Body of an event with the viewers; None if the whole room just got that event."""
    typists: list[str]
    stopped: list[str]
    """Users who have stopped typing since the seq that the socket has."""


class PresenceSnapshot(NamedTuple):
    """The presence in some conversations at one moment, for one socket."""

    seq: int
    """Changes at or below it were published before the snapshot."""
    statuses: bytes | None
    """Body of a `user:statuses` event with the changes that the socket missed; None if there are none."""
    rooms: list[RoomPresence]


def room_presence(viewers: bytes | None, typists: Iterable[bytes], stopped: Iterable[bytes]) -> RoomPresence:
    """Return the presence in one room, from the reply of a script."""
    return RoomPresence(viewers, [name.decode() for name in typists], [name.decode() for name in stopped])


class PresenceStore:
    """The scripts on presence. Every method raises `RedisUnavailable` or `ReplyError`."""

    def __init__(self, commands: Commands, times: PresenceTimes) -> None:
        self.times = times
        self._commands = commands
        self._sweep = commands.script(*SCRIPTS, "presence/sweep_presence")
        self._type = commands.script(*SCRIPTS, "presence/type")
        self._read = commands.script(*SCRIPTS, "presence/read_presence")
        self._tell = commands.script(*SCRIPTS, "presence/tell_again")

    async def sweep(self, tenant: str, sockets: Sequence[tuple[str, str]] = ()) -> Swept:
        """Renew the leases of sockets, each a pid and its user, and do the work that is due for their tenant."""
        leases = [f"{pid} {user_id}" for pid, user_id in sockets]
        lease_ms = int(self.times.lease_s * 1000)
        keys, prefix, missed_ms = [wire.meta_key(tenant)], wire.prefix(tenant), int(self.times.missed_s * 1000)
        delay, *unknown = await self._commands.run(
            self._sweep, keys, prefix, self._commands.publishing, lease_ms, missed_ms, *leases
        )
        return Swept(delay, unknown)

    async def type(self, tenant: str, room: Room, pid: str, user_id: str, skip: str, *, typing: bool) -> int:
        """Note that a socket's user types or has stopped; return the ms until a sweep is due, -1 for none.

        `skip` does not get the event: a sid, or `@` and a user.
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
        """Return viewers and typists of conversations; with the seq `after`, also the changes since then."""
        keys = [wire.meta_key(tenant)]
        since = "" if after is None else after
        seq, statuses, *found = await self._commands.run(
            self._read, keys, wire.prefix(tenant), self._commands.publishing, user_id, since, *rooms
        )
        return PresenceSnapshot(int(seq), statuses, [room_presence(*people) for people in found])

    async def tell_again(self, tenant: str, after: int, rooms: Sequence[Room]) -> int:
        """Publish again changes since the seq `after` that a replica may have missed.

        Return the ms until a sweep is due, -1 for none.
        """
        keys = [wire.meta_key(tenant)]
        delays: list[int] = []
        for i in range(0, max(len(rooms), 1), ROOM_BATCH):
            batch = rooms[i : i + ROOM_BATCH]
            prefix, publishing = wire.prefix(tenant), self._commands.publishing
            delays.append(await self._commands.run(self._tell, keys, prefix, publishing, after, *batch))
        return min((delay for delay in delays if delay >= 0), default=-1)
