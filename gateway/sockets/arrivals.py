"""Arriving: a socket connects for the first time, or comes back and takes up where it was.

Coming back, in order: the token is verified again; the session is claimed, which sends its old socket away
wherever that lives; rooms that the user may not be in any more are left out; the others are heard; the member is
in them, corked; only then are the logs read, so that every event is either in a log or in the cork; CONNECT goes
out, what was missed, `connected`, and the rest.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.auth import Tokens, token_of
from gateway.core.frames import Frame
from gateway.core.history import StreamPosition
from gateway.core.member import NEVER, Identity, Member, QueuedFrame
from gateway.core.replay import in_order, missed_events, newest
from gateway.core.rooms import RoomState
from gateway.errors import Refused, Unavailable
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.rooms.logs import Snapshot
from gateway.rooms.notices import notice, unwatched
from gateway.sessions.store import Opened, Session, SessionRef
from gateway.sockets import packets
from gateway.sockets.changes import remove_room
from gateway.sockets.chunked_send import is_small, send_chunked
from gateway.sockets.members import Members, evict, facts, log, session_ref
from gateway.sockets.presence_snapshot import catch_up, in_place
from gateway.sockets.room_access import RoomAccess, left_event
from gateway.sockets.socketio_server import Admission, Peer
from publisher import InvalidEvent, Offset, parse_offset
from publisher.ids import new_id
from publisher.offsets import SEQ_PER_S
from publisher.rooms import Room, organization, user

_PID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class Wanted(NamedTuple):
    """What a client that comes back asks for; `offset` None when it never got one, or sent nonsense."""

    pid: str
    offset: Offset | None
    nonsense: bool


class Lost(Exception):
    """A recovery is not possible; `reason` is what the client is told.

    `rooms` are those it keeps all the same, as far as it still may, each with the seq at which it was joined.
    """

    def __init__(self, reason: str, rooms: Mapping[Room, int] = MappingProxyType({})) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rooms = rooms
        self.taken: tuple[Room, ...] = ()
        """Rooms that were taken away, which it may not have heard."""


# Of a socket that never was here before.
NOTHING = Lost("")


class Arrivals:
    """Admits sockets."""

    def __init__(self, members: Members, tokens: Tokens, room_access: RoomAccess) -> None:
        self._members = members
        self._tokens = tokens
        self._room_access = room_access
        self.outcomes: dict[str, int] = {}
        """Recoveries by outcome: `recovered` or the reason why not."""
        self.refused: dict[str, int] = {}
        """Connects refused, by code."""
        self.replayed = 0
        """Events that sockets had missed and were given when they came back."""

    async def admit(self, peer: Peer, auth: Any) -> Admission:
        """Accept a socket; raises `Refused`, or `Unavailable` where the client should just try again."""
        environ = peer.socket.environ or {}
        try:
            peer.takes_statuses = isinstance(auth, dict) and auth.get("statuses") is True
            identity = await self._tokens.identify(token_of(auth, environ.get("HTTP_AUTHORIZATION")))
            member, admission = await self._arrive(peer, identity, _wanted(auth))
        except Refused as refused:
            self.refused[refused.code] = self.refused.get(refused.code, 0) + 1
            log.warning("socket_refused", code=refused.code, remote=environ.get("REMOTE_ADDR"))
            raise
        except (RedisUnavailable, ReplyError):
            raise Unavailable from None
        peer.member = member
        log.info(
            "socket_connected",
            **facts(member),
            transport=peer.socket.transport,
            remote=environ.get("REMOTE_ADDR"),
            recovered=member.generation > 1,
        )
        return admission

    async def _arrive(self, peer: Peer, identity: Identity, wanted: Wanted | None) -> tuple[Member, Admission]:
        if wanted is None:
            return await self._begin(peer, identity)
        try:
            arrived = await self._resume(peer, identity, wanted)
        except Lost as lost:
            self._count(lost.reason)
            user_id = identity.user_id
            notice(self._members.commands, identity.tenant, "not recovered", user=user_id, reason=lost.reason)
            return await self._begin(peer, identity, lost, wanted.offset)
        self._count("recovered")
        notice(self._members.commands, identity.tenant, "recovered", user=identity.user_id)
        return arrived

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    # -- for the first time

    async def _begin(
        self, peer: Peer, identity: Identity, lost: Lost = NOTHING, after: Offset | None = None
    ) -> tuple[Member, Admission]:
        members, keep = self._members, lost.rooms
        closed = await self._room_access.closed_to(identity, keep) if keep else ()
        tenant = members.subscriptions.hub.tenant(identity.tenant)
        own = (user(identity.user_id), organization(tenant.id))
        names = list(dict.fromkeys((*own, *(name for name in keep if name not in closed))))
        member = Member(peer.socket, identity, tenant, new_id(15), new_id(18))
        member.takes_statuses = peer.takes_statuses
        member.hold()
        rooms = await self._open(member, names)
        told: list[QueuedFrame] = []
        try:
            breaks = tenant.breaks
            opened = await members.sessions.open(session_ref(member), dict.fromkeys(names), lost.reason)
            place = opened.place
            if opened.revoked.blocks(identity):
                raise Refused("token_revoked")
            if keep:
                await self._check_standing(member, keep)
            members.subscriptions.learn(tenant, place, rooms if tenant.breaks == breaks else ())
            await members.subscriptions.locate(tenant, rooms)
            # Everything up to here was before this socket's time, also what is still under way to us, and what
            # went to these rooms while the answer about the place was under way.
            member.opened_at = member.since = place.seq
            member.last_seq = max(place.seq, *(room.last_seq or 0 for room in rooms))
            offset = Offset(place.epoch, member.last_seq)
            for room in rooms:
                room.add(member, member.last_seq)
            members.enter(member)
            if member.last_seq > place.seq:
                await members.sessions.put_off(session_ref(member), names, member.last_seq)
            greeting = _greeting(identity, offset, recovered=False, reason=lost.reason or None)
            if lost.reason:
                seq = after.seq if after is not None and after.epoch == place.epoch else None
                told = await catch_up(members, member, names, seq)
        except BaseException:
            members.take_out(member)
            unwatched(asyncio.ensure_future(members.sessions.forget(session_ref(member), at_once=False)))
            raise
        finally:
            members.subscriptions.release(rooms)
        news = in_place(member.take_cork(), told)
        follow = [greeting, *map(left_event, (*closed, *lost.taken)), *(corked.frame for corked in news)]
        return member, Admission(member.sid, member.pid, follow, member.uncork)

    async def _open(self, member: Member, names: Iterable[Room]) -> list[RoomState]:
        """Have a member's rooms heard, as `RoomSubscriptions.open` does.

        What was answered about its user before this replica heard of what is taken away from them is forgotten.
        """
        tenant, user_id = member.tenant, member.identity.user_id
        was_heard = user(user_id) in tenant.rooms
        rooms = await self._members.subscriptions.open(tenant, names)
        if not was_heard:
            self._members.access.forget(tenant.id, user_id)
        return rooms

    # -- again

    async def _resume(self, peer: Peer, identity: Identity, wanted: Wanted) -> tuple[Member, Admission]:
        sessions = self._members.sessions
        claiming = SessionRef(
            identity.tenant, identity.user_id, wanted.pid, token_id=identity.token_id, issued_at=identity.issued_at
        )
        opened = await sessions.claim(claiming)
        try:
            return await self._take_up(peer, identity, wanted, opened)
        except BaseException as error:
            session = opened.session
            if session is not None and session.user_id == identity.user_id:
                # Nobody has it now: it waits as it did before.
                waiting = sessions.begin_window(claiming._replace(generation=session.generation), NEVER)
                left = asyncio.ensure_future(waiting)
                unwatched(left)
                if isinstance(error, Lost):
                    error.taken = session.taken
                    # Before the socket's next session counts as one more of its user's.
                    await asyncio.wait((left,))
            raise

    async def _take_up(
        self, peer: Peer, identity: Identity, wanted: Wanted, opened: Opened
    ) -> tuple[Member, Admission]:
        members, place = self._members, opened.place
        if opened.revoked.blocks(identity):
            raise Refused("token_revoked")
        claimed = self._judge(wanted, identity, place, opened.session)
        closed = await self._room_access.closed_to(identity, claimed.rooms)
        session = claimed._replace(rooms={name: at for name, at in claimed.rooms.items() if name not in closed})
        after = wanted.offset.seq if wanted.offset else session.opened_at
        # Asked for now, and kept by the rooms that are opened in the same turn: without any it is forgotten.
        tenant = members.subscriptions.hub.tenant(identity.tenant)
        member = Member(peer.socket, identity, tenant, session.sid, wanted.pid)
        member.takes_statuses = peer.takes_statuses
        member.generation = session.generation
        member.opened_at = session.opened_at
        # What its last socket was given behind that offset never reached the client, and is not replayed of rooms
        # that it has left.
        member.remember(*(stay.up_to(after) for stay in session.stays if stay.joined_at < after))
        member.hold()
        self._send_away(session.sid)
        rooms = await self._open(member, session.rooms)
        try:
            # From here on nothing that was published before the claim is under way to this replica any more.
            await members.subscriptions.locate(tenant, rooms, place.seq)
            position = member.last_seq = tenant.position
            for room in rooms:
                room.add(member, session.rooms[room.name])
            members.enter(member)
            snapshot = await self._read_logs(member, session, after)
            members.subscriptions.learn(tenant, StreamPosition(snapshot.epoch, snapshot.seq), rooms)
            if newest(snapshot.logs.values()) > position:
                await members.subscriptions.catch_up(tenant, snapshot.seq)
            self._check_complete(snapshot.epoch, place.epoch, snapshot.logs, claimed)
            # After the logs: what was told before they were read, and is still under way, is not for it any more.
            told = await catch_up(members, member, session.rooms, max(after, session.seen_until))
            async with members.changing(member):
                for name in closed:
                    await remove_room(members, member, name)
        except BaseException:
            members.take_out(member)
            raise
        finally:
            members.subscriptions.release(rooms)
        kept = member.take_cork()
        due = in_order(missed_events(snapshot.logs.values(), kept, member.sid), kept, snapshot.epoch)
        self.replayed += len(due)
        member.last_seq = max(member.last_seq, snapshot.seq, *(corked.seq for corked in due))
        greeting = _greeting(identity, Offset(snapshot.epoch, member.last_seq), recovered=True)
        follow = [
            *(corked.frame for corked in in_place(due, told)),
            greeting,
            *map(left_event, (*closed, *session.taken)),
        ]
        if is_small(follow):
            return member, Admission(member.sid, member.pid, follow, member.uncork)
        return member, Admission(member.sid, member.pid, begin=lambda: self._hand_over(member, follow))

    async def _read_logs(self, member: Member, session: Session, after: int) -> Snapshot:
        """Read what the rooms have for a member that is in them already; raises `Unavailable` if it must go."""
        members, tenant = self._members, member.tenant
        seqs = {name: max(after, joined_at) for name, joined_at in session.rooms.items()}
        snapshot, _ = await asyncio.gather(
            members.history.read(tenant.id, seqs, sure=session.seen_until),
            self._check_standing(member, session.rooms),
        )
        return snapshot

    async def _check_standing(self, member: Member, rooms: Mapping[Room, int]) -> None:
        """Raise `Unavailable` for a member that missed a message about itself: its next claim knows what it said.

        Such messages come on the user's room, and it may not have been heard yet. A second claim would leave two
        sockets with one session, a room that was taken away would be given back.
        """
        who = [(member.pid, member.identity.user_id)]
        (standing,) = await self._members.sessions.standing(member.tenant.id, who)
        if standing.generation > member.generation or standing.ended:
            raise Unavailable
        if any(rooms.get(name, seq) < seq for name, seq in standing.taken):
            raise Unavailable

    def _judge(
        self, wanted: Wanted, identity: Identity, place: StreamPosition, session: Session | None
    ) -> Session:
        """Give the session if it may be taken up with that offset, or raise `Lost`."""
        offset = wanted.offset
        if session is None:
            if offset is not None and offset.epoch != place.epoch:
                raise Lost("epoch")
            window = self._members.settings.recovery_window_s
            old = offset is not None and place.seq - offset.seq > window * SEQ_PER_S
            raise Lost("expired" if old else "unknown")
        if session.user_id != identity.user_id:
            raise Lost("identity")
        if session.ended:
            raise Lost("unknown")
        if session.holed:
            raise Lost("trimmed", session.rooms)
        if wanted.nonsense or (offset is not None and offset.epoch == place.epoch and offset.seq > place.seq):
            raise Lost("unknown", session.rooms)
        if offset is not None and offset.epoch != place.epoch:
            raise Lost("epoch", session.rooms)
        if session.lost and (offset is None or offset.seq < session.opened_at):
            # The last time it was gone before it heard what had become of the session before.
            raise Lost(session.lost, session.rooms)
        return session

    def _check_complete(self, epoch: str, claimed: str, logs: Mapping[Room, Any], session: Session) -> None:
        if epoch != claimed:
            raise Lost("epoch", session.rooms)
        if not all(entries.complete for entries in logs.values()):
            raise Lost("trimmed", session.rooms)

    def _send_away(self, sid: str) -> None:
        """Close the session's old socket if it lives here; elsewhere the claim has seen to it."""
        old = self._members.by_sid.get(sid)
        if old is not None:
            evict(self._members, old)

    async def _hand_over(self, member: Member, follow: list[Frame]) -> None:
        while follow:
            await send_chunked(member.socket, follow)
            follow = [corked.frame for corked in member.take_cork()]
        member.uncork()


def _greeting(identity: Identity, offset: Offset, *, recovered: bool, reason: str | None = None) -> Frame:
    """Make `connected`, with the offset that a client has to come back with until it gets an event."""
    data: dict[str, Any] = {"message": "Connected", "user_id": identity.user_id, "recovered": recovered}
    if reason is not None:
        data["reason"] = reason
    return Frame(packets.event("connected", data, str(offset)))


def _wanted(auth: Any) -> Wanted | None:
    """Read what a client that comes back sent along with its token."""
    pid = auth.get("pid") if isinstance(auth, dict) else None
    if not isinstance(pid, str) or not _PID.fullmatch(pid):
        return None
    if auth.get("offset") is None:
        return Wanted(pid, None, nonsense=False)
    try:
        return Wanted(pid, parse_offset(auth["offset"]), nonsense=False)
    except InvalidEvent:
        return Wanted(pid, None, nonsense=True)
