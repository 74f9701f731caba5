"""The sessions in Redis: the state of each socket, with which it can come back to any replica after any failure.

A session is written when it changes; nothing has to be written when its socket ends, because a killed replica
writes nothing. The replica of the socket renews it; then it lives at least for the recovery window.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gateway.core.history import Retention, StreamPosition
from gateway.core.model import NEVER
from gateway.core.recovery import Session
from gateway.core.stays import Stay, pack, unpack
from gateway.presence.store import SCRIPTS, PresenceTimes, RoomPresence, room_presence
from gateway.redis.commands import Commands
from gateway.sessions.keys import session_key
from gateway.sessions.revoked import Revoked
from publisher import wire
from publisher.envelope import new_epoch
from publisher.offsets import SEQ_PER_S
from publisher.rooms import Room, user


class SessionRef(NamedTuple):
    """The names by which Redis knows a session, its user, its socket and its token."""

    tenant: str
    user_id: str
    pid: str
    sid: str = ""
    generation: int = 1
    token_id: str = ""
    issued_at: float = 2.0**53
    """Unix time in seconds at which the token was issued. With a void token the user does not count as online."""


class SessionStatus(NamedTuple):
    """The status of a session whose socket is connected here."""

    generation: int
    """Generation of the last claim; 0 if the session is gone."""
    ended: bool
    rooms: set[Room]
    taken: list[tuple[Room, int]]
    """Rooms that were revoked, each with the seq of the revocation."""
    revoked: Revoked


class Opened(NamedTuple):
    """The reply of Redis to a socket that connects or comes back."""

    place: StreamPosition
    revoked: Revoked
    session: Session | None = None
    """The session as it was claimed, None if it is gone; of another user's session only the user is set."""


class Renewed(NamedTuple):
    """The reply of Redis to a renewal of sessions."""

    now: int
    """Redis' time, in microseconds."""
    generations: list[int]
    """Generation of the last claim of each session; 0 if the session is gone."""


class Entered(NamedTuple):
    """The reply of Redis to a socket that joined a room."""

    known: bool
    """False if the session is gone and must be written again."""
    seq: int = 0
    """Changes of presence at or below it were published before this reply."""
    presence: RoomPresence | None = None
    """The presence in the room, if it is a conversation."""


Due = Callable[[str, int], None]


class Sessions:
    """The sessions in Redis. Every method raises `RedisUnavailable` or `ReplyError`.

    `due(tenant, delay_ms)` is called with the ms until the next sweep of a tenant's presence is due, -1 for none:
    see `presence/online.lua`.
    """

    def __init__(
        self,
        commands: Commands,
        *,
        window_s: float,
        renew_every_s: float,
        unnoticed_s: float,
        kept: Retention,
        presence: PresenceTimes = PresenceTimes(),  # noqa: B008  # immutable
        most_sockets: int = 0,
        due: Due = lambda tenant, delay_ms: None,
    ) -> None:
        self.renew_every_s = renew_every_s
        self._due = due
        self._commands = commands
        self._window_ms = int(window_s * 1000)
        # A session must outlive its socket's presence lease, also one that a sweep spares after an outage: the
        # rooms are needed to remove the socket from them.
        self._spared_ms = int(2 * presence.lease_s * 1000)
        self._lease_ms = max(
            int((window_s + 2 * renew_every_s) * 1000), int(renew_every_s * 1000) + self._spared_ms
        )
        # Longest time for which a socket may be dead before its replica notices: two heartbeats.
        self._unnoticed_us = int(unnoticed_s * SEQ_PER_S)
        self._kept = kept
        self._presence_ms = int(presence.lease_s * 1000)
        self._grace_ms = min(int(presence.grace_s * 1000), self._window_ms)
        self._moving_ms = min(self._presence_ms, self._window_ms)
        self._most_sockets = most_sockets
        self._open = commands.script(*SCRIPTS, "sessions/open_session")
        self._claim = commands.script(*SCRIPTS, "sessions/claim_session")
        self._change_script = commands.script(*SCRIPTS, "sessions/change_session")
        self._leave = commands.script(*SCRIPTS, "sessions/leave_session")
        self._renew = commands.script("sessions/renew_session")
        self._mark = commands.script("presence/tenant", "sessions/mark_session")

    async def open(
        self,
        ref: SessionRef,
        rooms: Mapping[Room, int | None],
        lost: str = "",
        *,
        opened_at: int | None = None,
        stays: Iterable[Stay] = (),
    ) -> Opened:
        """Write a whole session; a room without a seq is joined now. Return the position at that moment.

        The user counts as online, unless the token is void. `lost` is why the session before it was lost.
        A session that is written again was opened at the seq `opened_at`.
        """
        tenant, user_id, pid, sid, generation, token_id, issued_at = ref
        kept = self._kept
        args: list[str | int] = []
        for room, joined_at in rooms.items():
            args += [room, "" if joined_at is None else joined_at]
        epoch, seq, revoked, delay = await self._commands.run(
            self._open,
            [wire.meta_key(tenant), session_key(tenant, pid), wire.revoked_key(tenant, user_id)],
            wire.prefix(tenant),
            self._commands.publishing,
            new_epoch(),
            kept.size if kept.beyond is None else kept.beyond,
            int(kept.ttl_s * 1000),
            self._lease_ms,
            self._presence_ms,
            self._most_sockets,
            user_id,
            sid,
            pid,
            generation,
            lost,
            token_id,
            issued_at,
            kept.max_event_bytes,
            "" if opened_at is None else opened_at,
            pack(stays),
            int(kept.window_s * 1000),
            kept.size,
            kept.max_bytes,
            *args,
        )
        self._due(tenant, delay)
        return Opened(StreamPosition(epoch.decode(), int(seq)), Revoked(_pairs(revoked)))

    async def claim(self, ref: SessionRef) -> Opened:
        """Claim a session and close its old socket; another user's session is returned, but not claimed."""
        tenant, user_id, pid, _, _, token_id, issued_at = ref
        epoch, seq, fields, revoked, delay = await self._commands.run(
            self._claim,
            [
                wire.meta_key(tenant),
                session_key(tenant, pid),
                wire.revoked_key(tenant, user_id),
                wire.channel(tenant, user(user_id)),
            ],
            wire.prefix(tenant),
            self._commands.publishing,
            new_epoch(),
            self._lease_ms,
            self._presence_ms,
            self._most_sockets,
            user_id,
            pid,
            token_id,
            issued_at,
        )
        self._due(tenant, delay)
        taken = Revoked(_pairs(revoked))
        session = _session(_pairs(fields), taken) if fields else None
        return Opened(StreamPosition(epoch.decode(), int(seq)), taken, session)

    async def generation(self, tenant: str, pid: str) -> int:
        """Return the generation of a session; 0 if the session is gone."""
        return int(await self._commands.ask("HGET", session_key(tenant, pid), "g") or 0)

    async def join(self, ref: SessionRef, room: Room, joined_at: int, after: int | None = None) -> Entered:
        """Add a room, unless another socket has the session; `after` is the seq of presence that this one has."""
        changing = self._change(ref, room, joined_at, "" if after is None else after)
        known, people = await self._changed(ref.tenant, changing)
        if people is None:
            return Entered(bool(known))
        seq, *of_room = people
        return Entered(bool(known), int(seq), room_presence(*of_room))

    async def put_off(self, ref: SessionRef, rooms: Iterable[Room], joined_at: int) -> None:
        """Note a later seq for the joins of a socket that has just opened its session."""
        fields = [word for room in rooms for word in (f"r:{room}", joined_at)]
        await self._commands.ask("HSET", session_key(ref.tenant, ref.pid), *fields)

    def leave(self, ref: SessionRef, room: Room, stays: Iterable[Stay], *, taken: bool = False) -> Awaitable[Any]:
        """Remove a room, unless another socket has the session; `stays` have ended, also the one in that room.

        `taken` notes that the client has not left by itself, and may have to be told. The command is sent now,
        before later ones, and not when the result is awaited.
        """
        return self._changed(ref.tenant, self._change(ref, room, "", "", stays, taken=taken))

    def _change(
        self,
        ref: SessionRef,
        room: Room,
        joined_at: int | str,
        after: int | str,
        stays: Iterable[Stay] = (),
        *,
        taken: bool = False,
    ) -> Awaitable[Any]:
        tenant, user_id, pid, _, generation, *_ = ref
        keys, prefix = [session_key(tenant, pid)], wire.prefix(tenant)
        changes = (self._lease_ms, room, joined_at, pid, user_id, after, generation, pack(stays), int(taken))
        return self._commands.run(self._change_script, keys, prefix, self._commands.publishing, *changes)

    async def _changed(self, tenant: str, changing: Awaitable[Any]) -> tuple[Any, Any]:
        known, delay, people = await changing
        self._due(tenant, delay)
        return known, people

    async def renew(self, tenant: str, sessions: Iterable[tuple[SessionRef, int]]) -> Renewed:
        """Renew a tenant's sessions, each with the seq since which its socket got every event at once.

        A session that another socket has claimed stays as it is.
        """
        found = list(sessions)
        keys = [session_key(tenant, ref.pid) for ref, _ in found]
        times = (self._lease_ms, self._unnoticed_us)
        sockets = [fact for ref, since in found for fact in (ref.generation, since)]
        now, *generations = await self._commands.run(self._renew, keys, *times, *sockets)
        return Renewed(int(now), [int(generation) for generation in generations])

    async def mark_holed(self, holders: Iterable[SessionRef]) -> None:
        """Note that an event for these sockets is lost; the next claim of each session is told."""
        await asyncio.gather(*(self._commands.run(self._mark, *self._marking(ref)) for ref in holders))

    def _marking(self, ref: SessionRef) -> tuple[list[str], str, str, str, str, int]:
        tenant, user_id, pid, _, generation, *_ = ref
        keys = [session_key(tenant, pid)]
        return keys, wire.prefix(tenant), self._commands.publishing, pid, user_id, generation

    async def statuses(self, tenant: str, sessions: Iterable[tuple[str, str]]) -> list[SessionStatus]:
        """Return the status of sessions, each a pid and its user, without renewing them."""
        asked: list[asyncio.Future[Any]] = []
        for pid, user_id in sessions:
            asked.append(self._commands.ask("HGETALL", session_key(tenant, pid)))
            asked.append(self._commands.ask("HGETALL", wire.revoked_key(tenant, user_id)))
        replies = await asyncio.gather(*asked)
        return [
            _status(_pairs(fields), Revoked(_pairs(revoked)))
            for fields, revoked in zip(replies[::2], replies[1::2], strict=True)
        ]

    async def revoked(self, tenant: str, user_id: str) -> Revoked:
        """Return the access of a user that was revoked."""
        return Revoked(_pairs(await self._commands.ask("HGETALL", wire.revoked_key(tenant, user_id))))

    async def blocked(self, tenant: str, user_id: str, rooms: Iterable[Room]) -> set[Room]:
        """Return those of the rooms that a user may not join for now."""
        keys = {wire.blocked_key(tenant, user_id, room): room for room in rooms}
        # One question for all rooms first: nearly always none is blocked.
        if not keys or not await self._commands.ask("EXISTS", *keys):
            return set()
        found = await asyncio.gather(*(self._commands.ask("EXISTS", key) for key in keys))
        return {room for room, there in zip(keys.values(), found, strict=True) if there}

    async def begin_window(
        self, ref: SessionRef, since: int, typing: Iterable[Room] = (), *, moving: bool = False
    ) -> None:
        """Start the recovery window of a socket that has ended, unless another socket has the session.

        Its user counts as online for the grace time; if the replica closed it (`moving`), for a presence lease.
        """
        grace_ms = self._moving_ms if moving else self._grace_ms
        await self._left(ref, self._window_ms, grace_ms, since, typing)

    async def end(self, ref: SessionRef, typing: Iterable[Room] = (), *, at_once: bool = True) -> None:
        """Drop a session that must not be recovered, unless another socket has it.

        The socket counts as gone at once, or after the grace time.
        """
        await self._left(ref, 0, 0 if at_once else self._grace_ms, 0, typing)

    async def _left(
        self, ref: SessionRef, wait_ms: int, grace_ms: int, since: int, typing: Iterable[Room]
    ) -> None:
        tenant, user_id, pid, _, generation, *_ = ref
        delay = await self._commands.run(
            self._leave,
            [session_key(tenant, pid)],
            wire.prefix(tenant),
            self._commands.publishing,
            wait_ms,
            grace_ms,
            self._unnoticed_us,
            since,
            pid,
            user_id,
            generation,
            max(wait_ms, grace_ms + self._spared_ms),
            *typing,
        )
        self._due(tenant, delay)


def _pairs(flat: list[bytes]) -> dict[str, str]:
    texts = [item.decode() for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _status(fields: dict[str, str], revoked: Revoked) -> SessionStatus:
    ended = revoked.ends(int(fields.get("at", 0)))
    return SessionStatus(int(fields.get("g", 0)), ended, {*_rooms(fields)}, list(revoked.rooms()), revoked)


def _rooms(fields: dict[str, str]) -> dict[Room, int]:
    """Return the rooms in a session, each with the seq of its join."""
    return {Room(name[2:]): int(seq) for name, seq in fields.items() if name.startswith("r:")}


def _session(fields: dict[str, str], revoked: Revoked) -> Session:
    opened_at = int(fields.get("at", 0))
    rooms = _rooms(fields)
    taken = [
        # How long the socket got the room's events after that depends on when its replica heard of it.
        Stay(room, joined_at, taken_at, NEVER)
        for room, joined_at in rooms.items()
        if (taken_at := revoked.taken_at(room, joined_at))
    ]
    return Session(
        fields["u"],
        fields.get("s", ""),
        int(fields.get("g", 1)),
        opened_at,
        int(fields.get("t", 0)),
        {room: joined_at for room, joined_at in rooms.items() if not revoked.taken_at(room, joined_at)},
        tuple(taken),
        ended=revoked.ends(opened_at),
        holed="x" in fields,
        lost=fields.get("l", ""),
        stays=unpack(fields.get("p", "")),
        removed=tuple((Room(name[2:]), int(seq)) for name, seq in fields.items() if name.startswith("k:")),
    )
