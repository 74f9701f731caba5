"""The sessions in Redis: the state of each socket that lets it come back, to any replica, after any failure.

A session is written when it changes, never when its socket goes: a killed replica writes nothing. It lives
for the recovery window after its last sign of life, which the replica that holds the socket renews.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gateway.core.history import Retention, StreamPosition
from gateway.core.model import Stay
from gateway.core.recovery import Session
from gateway.presence.store import SCRIPTS, PresenceTimes, RoomPresence, room_presence
from gateway.redis.commands import Commands
from gateway.sessions.revoked import Revoked
from publisher import wire
from publisher.envelope import new_epoch
from publisher.offsets import SEQ_PER_S
from publisher.rooms import Room, user

# How long after a session says that its socket leaves a room the socket may still get the room's events: until the
# replica has Redis' answer, or gives the socket up.
LEAVING = 10 * SEQ_PER_S


class SessionRef(NamedTuple):
    """The names by which Redis knows a session: its user, and its socket."""

    tenant: str
    user_id: str
    pid: str
    sid: str = ""
    generation: int = 1
    token_id: str = ""
    issued_at: float = 2.0**53
    """Unix time in seconds at which its token was issued: one that is void makes nobody count as there."""


class SessionStatus(NamedTuple):
    """The status of a session whose socket is connected here."""

    generation: int
    """Of whoever claimed it last; 0 where it is gone."""
    ended: bool
    taken: list[tuple[Room, int]]
    """Rooms that were taken away from the user, each with the seq at which."""
    revoked: Revoked


def session_key(tenant: str, pid: str) -> str:
    """Name the hash of one session."""
    return f"rt:{{{tenant}}}:session:{pid}"


class Opened(NamedTuple):
    """The answer of Redis to a socket that comes, or comes back."""

    place: StreamPosition
    revoked: Revoked
    session: Session | None = None
    """As it was claimed; of another user's nothing but whose it is."""


class Renewed(NamedTuple):
    """The answer of Redis about sessions that were renewed."""

    now: int
    """Redis' time, in microseconds."""
    generations: list[int]
    """Of whoever claimed each session last; 0 where it is gone."""


class Entered(NamedTuple):
    """The answer of Redis to a socket that joined a room."""

    known: bool
    """False when the session is gone and must be written anew."""
    seq: int = 0
    """What was told of its people at or below it came before."""
    presence: RoomPresence | None = None
    """Who is in the room, if it is a conversation."""


Due = Callable[[str, int], None]


class Sessions:
    """The sessions in Redis. Every method raises `RedisUnavailable` or `ReplyError`.

    `due(tenant, delay_ms)` is called with the ms after which a tenant's presence has to be looked at again, -1 for
    never: see `presence/presence.lua`.
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
        # While its socket counts as there, too: whose session is gone can't be seen off room by room.
        self._lease_ms = int(max(window_s + 2 * renew_every_s, renew_every_s + presence.lease_s) * 1000)
        # How long a socket may be dead before its replica knows: two heartbeats, at the most.
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
        self._mark = commands.script("sessions/mark_session")

    async def open(
        self,
        ref: SessionRef,
        rooms: Mapping[Room, int | None],
        lost: str = "",
        *,
        opened_at: int | None = None,
        stays: Iterable[Stay] = (),
    ) -> Opened:
        """Write a whole session; a room without a seq is joined now. Return the moment it was written at.

        Its user counts as there, unless the token is void. `lost` is why the session before it was lost. A session
        that is written again was opened at `opened_at`.
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
            _packed(stays),
            int(kept.window_s * 1000),
            kept.size,
            kept.max_bytes,
            *args,
        )
        self._due(tenant, delay)
        return Opened(StreamPosition(epoch.decode(), int(seq)), Revoked(_pairs(revoked)))

    async def claim(self, ref: SessionRef) -> Opened:
        """Take a session over and close its old socket; another user's session is given, but not taken."""
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
        """Tell how often a session was claimed, 0 where it is gone."""
        return int(await self._commands.ask("HGET", session_key(tenant, pid), "g") or 0)

    async def join(self, ref: SessionRef, room: Room, joined_at: int, after: int | None = None) -> Entered:
        """Add a room, unless another socket has the session; `after` is how far this one knows who types there."""
        changing = self._change(ref, room, joined_at, "" if after is None else after)
        known, people = await self._changed(ref.tenant, changing)
        if people is None:
            return Entered(bool(known))
        seq, *of_room = people
        return Entered(bool(known), int(seq), room_presence(*of_room))

    async def put_off(self, ref: SessionRef, rooms: Iterable[Room], joined_at: int) -> None:
        """Note that a socket, which just opened its session, is in its rooms as of a later moment."""
        fields = [word for room in rooms for word in (f"r:{room}", joined_at)]
        await self._commands.ask("HSET", session_key(ref.tenant, ref.pid), *fields)

    def leave(self, ref: SessionRef, room: Room, stays: Iterable[Stay]) -> Awaitable[Any]:
        """Take a room out, unless another socket has the session; `stays` are those that are over, this one too.

        It is on its way from now on, before what is asked later.
        """
        return self._changed(ref.tenant, self._change(ref, room, "", "", stays))

    def _change(
        self,
        ref: SessionRef,
        room: Room,
        joined_at: int | str,
        after: int | str,
        stays: Iterable[Stay] = (),
    ) -> Awaitable[Any]:
        tenant, user_id, pid, _, generation, *_ = ref
        keys, prefix = [session_key(tenant, pid)], wire.prefix(tenant)
        changes = (self._lease_ms, room, joined_at, pid, user_id, after, generation, _packed(stays))
        return self._commands.run(self._change_script, keys, prefix, self._commands.publishing, *changes)

    async def _changed(self, tenant: str, changing: Awaitable[Any]) -> tuple[Any, Any]:
        known, delay, people = await changing
        self._due(tenant, delay)
        return known, people

    async def renew(self, tenant: str, sessions: Iterable[tuple[SessionRef, int]]) -> Renewed:
        """Renew a tenant's sessions, each with the seq since which its socket was handed everything at once.

        One that another socket has by now is left as it is.
        """
        found = list(sessions)
        keys = [session_key(tenant, ref.pid) for ref, _ in found]
        times = (self._lease_ms, self._unnoticed_us)
        sockets = [fact for ref, since in found for fact in (ref.generation, since)]
        now, *generations = await self._commands.run(self._renew, keys, *times, *sockets)
        return Renewed(int(now), [int(generation) for generation in generations])

    async def mark_holed(self, holders: Iterable[SessionRef]) -> None:
        """Note that something for these sockets is gone: whoever claims their sessions is told."""
        await asyncio.gather(*(self._commands.run(self._mark, *self._marking(ref)) for ref in holders))

    def _marking(self, ref: SessionRef) -> tuple[list[str], str, str, int]:
        tenant, user_id, pid, _, generation, *_ = ref
        keys = [session_key(tenant, pid), wire.meta_key(tenant), wire.channel(tenant, user(user_id))]
        return keys, self._commands.publishing, pid, generation

    async def statuses(self, tenant: str, sessions: Iterable[tuple[str, str]]) -> list[SessionStatus]:
        """Look sessions up, each a pid and its user, without touching them."""
        asked: list[asyncio.Future[Any]] = []
        for pid, user_id in sessions:
            asked.append(self._commands.ask("HMGET", session_key(tenant, pid), "g", "at"))
            asked.append(self._commands.ask("HGETALL", wire.revoked_key(tenant, user_id)))
        replies = await asyncio.gather(*asked)
        return [
            _status(int(generation or 0), int(opened_at or 0), Revoked(_pairs(revoked)))
            for (generation, opened_at), revoked in zip(replies[::2], replies[1::2], strict=True)
        ]

    async def revoked(self, tenant: str, user_id: str) -> Revoked:
        """Look up what was taken away from a user."""
        return Revoked(_pairs(await self._commands.ask("HGETALL", wire.revoked_key(tenant, user_id))))

    async def blocked(self, tenant: str, user_id: str, rooms: Iterable[Room]) -> set[Room]:
        """Return those rooms that a user may not join for now."""
        keys = {wire.blocked_key(tenant, user_id, room): room for room in rooms}
        # All at once: nearly always there is none.
        if not keys or not await self._commands.ask("EXISTS", *keys):
            return set()
        found = await asyncio.gather(*(self._commands.ask("EXISTS", key) for key in keys))
        return {room for room, there in zip(keys.values(), found, strict=True) if there}

    async def begin_window(
        self, ref: SessionRef, since: int, typing: Iterable[Room] = (), *, moving: bool = False
    ) -> None:
        """Start the recovery window, unless another socket has the session: this one is gone as of now.

        Its user counts as there for the grace time; `moving`, as the replica sent it away, while a lease runs.
        """
        grace_ms = self._moving_ms if moving else self._grace_ms
        await self._left(ref, self._window_ms, grace_ms, since, typing)

    async def end(self, ref: SessionRef, typing: Iterable[Room] = (), *, at_once: bool = True) -> None:
        """Drop a session that must not be recovered, unless another socket has it.

        Its user counts as gone at once, or after the grace time.
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
            *typing,
        )
        self._due(tenant, delay)


def _pairs(flat: list[bytes]) -> dict[str, str]:
    texts = [item.decode() for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _status(generation: int, opened_at: int, revoked: Revoked) -> SessionStatus:
    return SessionStatus(generation, revoked.ends(opened_at), list(revoked.rooms()), revoked)


def _session(fields: dict[str, str], revoked: Revoked) -> Session:
    opened_at = int(fields.get("at", 0))
    rooms = {Room(name[2:]): int(seq) for name, seq in fields.items() if name.startswith("r:")}
    return Session(
        fields["u"],
        fields.get("s", ""),
        int(fields.get("g", 1)),
        opened_at,
        int(fields.get("t", 0)),
        {room: joined_at for room, joined_at in rooms.items() if not revoked.takes(room, joined_at)},
        tuple(room for room, joined_at in rooms.items() if revoked.takes(room, joined_at)),
        ended=revoked.ends(opened_at),
        holed="x" in fields,
        lost=fields.get("l", ""),
        stays=_unpacked(fields.get("p", "")),
    )


def _packed(stays: Iterable[Stay]) -> str:
    return " ".join(f"{stay.room} {stay.joined_at} {stay.left_at}" for stay in stays)


def _unpacked(text: str) -> tuple[Stay, ...]:
    """Read stays; a room was left at some moment after the one that its session names."""
    words = iter(text.split(" ") if text else ())
    return tuple(
        Stay(Room(room), int(joined_at), int(left_at), int(left_at) + LEAVING)
        for room, joined_at, left_at in zip(words, words, words, strict=True)
    )
