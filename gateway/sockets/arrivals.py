"""Arriving: a socket connects for the first time, or comes back and takes up where it was.

Coming back, in order: the token is verified again; the session is claimed, which sends its old socket away
wherever that lives; the rooms are heard; the member is in them, corked; only then are the logs read, so that
every event is either in a log or in the cork; CONNECT goes out, what was missed, `connected`, and the rest.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gateway.auth import Tokens, token_of
from gateway.bus.history import Snapshot
from gateway.bus.link import LinkDown, ReplyError
from gateway.bus.notices import notice
from gateway.bus.sessions import Place, Session
from gateway.core.member import Identity, Member
from gateway.core.replay import in_order, missed_events, newest
from gateway.engine import CloseReason, Frame
from gateway.engine.errors import CloseCode
from gateway.errors import Refused, Unavailable
from gateway.sockets import packets
from gateway.sockets.house import House, facts, log
from gateway.sockets.pacing import is_small, send_paced
from gateway.sockets.upstream import Admission, Peer
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
    """A recovery is not possible; `reason` is what the client is told, `rooms` what it keeps all the same."""

    def __init__(self, reason: str, rooms: Iterable[Room] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rooms = list(rooms)


class Arrivals:
    """Admits sockets."""

    def __init__(self, house: House, tokens: Tokens) -> None:
        self._house = house
        self._tokens = tokens
        self.outcomes: dict[str, int] = {}
        """Recoveries by outcome: `recovered` or the reason why not."""
        self.refused: dict[str, int] = {}
        """Connects refused, by code."""

    async def admit(self, peer: Peer, auth: Any) -> Admission:
        """Accept a socket; raises `Refused`, or `Unavailable` where the client should just try again."""
        environ = peer.socket.environ or {}
        try:
            identity = self._tokens.verify(token_of(auth, environ.get("HTTP_AUTHORIZATION")))
        except Refused as refused:
            self.refused[refused.code] = self.refused.get(refused.code, 0) + 1
            log.warning("socket_refused", code=refused.code, remote=environ.get("REMOTE_ADDR"))
            raise
        try:
            member, admission = await self._arrive(peer, identity, _wanted(auth))
        except (LinkDown, ReplyError):
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
            return await self._begin(peer, identity, (), None)
        try:
            arrived = await self._resume(peer, identity, wanted)
        except Lost as lost:
            self._count(lost.reason)
            user_id = identity.user_id
            notice(self._house.commands, identity.tenant, "not recovered", user=user_id, reason=lost.reason)
            return await self._begin(peer, identity, lost.rooms, lost.reason)
        self._count("recovered")
        notice(self._house.commands, identity.tenant, "recovered", user=identity.user_id)
        return arrived

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    # -- for the first time

    async def _begin(
        self, peer: Peer, identity: Identity, keep: Iterable[Room], reason: str | None
    ) -> tuple[Member, Admission]:
        house = self._house
        tenant = house.relay.hub.tenant(identity.tenant)
        names = list(dict.fromkeys((user(identity.user_id), organization(tenant.id), *keep)))
        member = Member(peer.socket, identity, tenant, new_id(15), new_id(18))
        rooms = await house.relay.open(tenant, names)
        try:
            place = await house.sessions.open(
                tenant.id, member.pid, identity.user_id, member.sid, 1, dict.fromkeys(names)
            )
            house.relay.learn(tenant, place, rooms)
            # Everything up to here was before this socket's time, also what is still under way to us, and what
            # went to these rooms while the answer about the place was under way.
            member.since = member.last_seq = max(
                place.seq, tenant.position, *(room.last_seq or 0 for room in rooms)
            )
            for room in rooms:
                room.add(member, member.last_seq)
            house.enter(member)
        finally:
            house.relay.release(rooms)
        greeting = _greeting(identity, Offset(place.epoch, member.last_seq), recovered=False, reason=reason)
        return member, Admission(member.sid, member.pid, [greeting])

    # -- again

    async def _resume(self, peer: Peer, identity: Identity, wanted: Wanted) -> tuple[Member, Admission]:
        house = self._house
        place, session = await house.sessions.claim(identity.tenant, wanted.pid, identity.user_id)
        session = self._judge(wanted, identity, place, session)
        after = wanted.offset.seq if wanted.offset else session.opened_at
        # Asked for now, and kept by the rooms that are opened in the same turn: without any it is forgotten.
        tenant = house.relay.hub.tenant(identity.tenant)
        member = Member(peer.socket, identity, tenant, session.sid, wanted.pid)
        member.generation = session.generation
        member.cork = []
        self._send_away(session.sid)
        rooms = await house.relay.open(tenant, session.rooms)
        try:
            # From here on nothing that was published before the claim is under way to this replica any more.
            await house.relay.catch_up(tenant, place.seq)
            position = member.since = member.last_seq = tenant.position
            for room in rooms:
                room.add(member, session.rooms[room.name])
            house.enter(member)
            snapshot = await self._read_logs(member, session, after)
            house.relay.learn(tenant, Place(snapshot.epoch, snapshot.seq), rooms)
            if newest(snapshot.logs.values()) > position:
                await house.relay.catch_up(tenant, snapshot.seq)
            self._check_complete(snapshot.epoch, place.epoch, snapshot.logs, session)
        except BaseException:
            house.take_out(member)
            raise
        finally:
            house.relay.release(rooms)
        kept = member.take_cork()
        due = in_order(missed_events(snapshot.logs.values(), kept, member.sid), kept, snapshot.epoch)
        member.last_seq = max(member.last_seq, snapshot.seq, *(corked.seq for corked in due))
        greeting = _greeting(identity, Offset(snapshot.epoch, member.last_seq), recovered=True)
        follow = [*(corked.frame for corked in due), greeting]
        if is_small(follow):
            return member, Admission(member.sid, member.pid, follow, member.uncork)
        return member, Admission(member.sid, member.pid, begin=lambda: self._hand_over(member, follow))

    async def _read_logs(self, member: Member, session: Session, after: int) -> Snapshot:
        """Read what the rooms have for a member that is in them already; raises `Unavailable` if it must go.

        A second claim sends the first one's socket away by a message on the user's room: one that came before
        the member was there to hear it would leave two sockets with one session.
        """
        house, tenant = self._house, member.tenant
        seqs = {name: max(after, joined_at) for name, joined_at in session.rooms.items()}
        snapshot, generation = await asyncio.gather(
            house.history.read(tenant.id, seqs, sure=session.seen_until),
            house.sessions.generation(tenant.id, member.pid),
        )
        if generation > member.generation:
            raise Unavailable
        return snapshot

    def _judge(self, wanted: Wanted, identity: Identity, place: Place, session: Session | None) -> Session:
        """Give the session if it may be taken up with that offset, or raise `Lost`."""
        offset = wanted.offset
        if session is None:
            if offset is not None and offset.epoch != place.epoch:
                raise Lost("epoch")
            window = self._house.settings.recovery_window_s
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
        return session

    def _check_complete(self, epoch: str, claimed: str, logs: Mapping[Room, Any], session: Session) -> None:
        if epoch != claimed:
            raise Lost("epoch", session.rooms)
        if not all(entries.complete for entries in logs.values()):
            raise Lost("trimmed", session.rooms)

    def _send_away(self, sid: str) -> None:
        """Close the session's old socket if it lives here; elsewhere the claim has seen to it."""
        old = self._house.members.get(sid)
        if old is not None:
            evict(self._house, old)

    async def _hand_over(self, member: Member, follow: list[Frame]) -> None:
        while follow:
            await send_paced(member.socket, follow)
            follow = [corked.frame for corked in member.take_cork()]
        member.uncork()


def evict(house: House, member: Member) -> None:
    """Close a socket whose session has moved on to another one."""
    house.take_out(member)
    member.socket.close(CloseReason.SERVER, CloseCode.POLICY)


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
