"""Recovering: a socket comes back and resumes its session.

First the session is claimed, which closes its old socket on any replica. Rooms that are closed to the user by now
are left out, and the others are subscribed. The member enters them, corked, and the logs are read after that: so
every event is either in a log or in the cork. Then CONNECT, the missed events, `connected` and the rest are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gateway.core.frames import Frame
from gateway.core.history import StreamPosition
from gateway.core.model import NEVER, Identity, Member, QueuedFrame, RoomState
from gateway.core.recovery import Decision, Session, Wanted, decide, decide_again, removed_since
from gateway.core.replay import in_order, missed_events, newest
from gateway.core.stays import Stay
from gateway.errors import Refused
from gateway.rooms.logs import Snapshot
from gateway.rooms.notices import unwatched
from gateway.sessions.store import Opened, SessionRef
from gateway.sockets.admission import check_status, greeting, subscribe
from gateway.sockets.chunked_send import is_small, send_chunked
from gateway.sockets.members import Members, evict
from gateway.sockets.presence_snapshot import catch_up, in_place
from gateway.sockets.removal import left_event
from gateway.sockets.room_access import RoomAccess
from gateway.sockets.session_changes import remove_room
from gateway.sockets.socketio_server import Admission, Peer
from publisher import Offset
from publisher.rooms import Room


class Lost(Exception):
    """A recovery is not possible; the client is told the `reason`.

    `rooms` are the rooms that the socket keeps, if it still may be in them, each with the seq at which it joined.
    """

    def __init__(self, reason: str, rooms: Mapping[Room, int] = MappingProxyType({})) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rooms = rooms
        self.taken: tuple[Room, ...] = ()
        """Rooms that were revoked; the client may not know it yet."""


class Recovery:
    """Restores the session and rooms of a returning socket, and sends it the events that it missed."""

    def __init__(self, members: Members, room_access: RoomAccess) -> None:
        self._members = members
        self._portion_bytes = members.commands.limits.replay_portion_bytes
        self._room_access = room_access
        self.replayed = 0
        """Number of events that were sent to sockets in recoveries."""

    async def recover(self, peer: Peer, identity: Identity, wanted: Wanted) -> tuple[Member, Admission]:
        """Have a socket resume the session that it wants.

        Raises `Lost` if that is not possible; `Refused`, `Unavailable`, `RedisUnavailable` or `ReplyError`.
        """
        sessions = self._members.sessions
        claiming = SessionRef(
            identity.tenant, identity.user_id, wanted.pid, token_id=identity.token_id, issued_at=identity.issued_at
        )
        opened = await sessions.claim(claiming)
        try:
            return await self._resume(peer, identity, wanted, opened)
        except BaseException as error:
            session = opened.session
            if session is not None and session.user_id == identity.user_id:
                # No socket has the session now, so it waits for the next one.
                waiting = sessions.begin_window(claiming._replace(generation=session.generation), NEVER)
                left = asyncio.ensure_future(waiting)
                unwatched(left)
                if isinstance(error, Lost):
                    error.taken = tuple(stay.room for stay in session.taken)
                    # The socket gets a new session next. Wait, or both would count as sockets of the user.
                    await asyncio.wait((left,))
            raise

    async def _resume(
        self, peer: Peer, identity: Identity, wanted: Wanted, opened: Opened
    ) -> tuple[Member, Admission]:
        members, place = self._members, opened.place
        if opened.revoked.blocks(identity):
            raise Refused("token_revoked")
        claimed = self._claimed(wanted, identity, opened)
        closed = await self._room_access.closed_to(identity, claimed.rooms)
        session = claimed._replace(
            rooms={name: at for name, at in claimed.rooms.items() if name not in closed},
            stays=(*claimed.stays, *claimed.taken, *(Stay(name, claimed.rooms[name], NEVER) for name in closed)),
        )
        after = wanted.offset.seq if wanted.offset else session.opened_at
        member = self._member(peer, identity, wanted, session, after)
        self._send_away(session.sid)
        # In the same turn of the loop as `_member`: a tenant without rooms may be dropped.
        rooms = await subscribe(members, member, session.rooms)
        try:
            position = await self._enter(member, session, rooms, place)
            snapshot = await self._read_logs(member, session, after)
            members.subscriptions.learn(member.tenant, StreamPosition(snapshot.epoch, snapshot.seq), rooms)
            if newest(snapshot.logs.values()) > position:
                await members.subscriptions.catch_up(member.tenant, snapshot.seq)
            _raise_if_lost(decide_again(place.epoch, snapshot.epoch, snapshot.logs.values()), claimed)
            # Read presence after the logs: changes that are still under way, from before the logs, are skipped.
            told = await catch_up(members, member, session.rooms, max(after, session.seen_until))
            async with members.changing(member):
                for name in closed:
                    await remove_room(members, member, name, taken=True)
        except BaseException:
            members.take_out(member)
            raise
        finally:
            members.subscriptions.release(rooms)
        taken = (stay.room for stay in session.taken)
        not_in = dict.fromkeys((*closed, *taken, *removed_since(session, after)))
        return member, self._greet(member, snapshot, told, not_in)

    def _claimed(self, wanted: Wanted, identity: Identity, opened: Opened) -> Session:
        """Return the session if it may be resumed at the wanted offset; raises `Lost`."""
        session, window_s = opened.session, self._members.settings.recovery_window_s
        _raise_if_lost(decide(wanted, identity.user_id, session, opened.place, window_s), session)
        assert session is not None
        return session

    def _member(self, peer: Peer, identity: Identity, wanted: Wanted, session: Session, after: int) -> Member:
        """Return a member for the returning socket, held: live events wait behind the missed ones."""
        tenant = self._members.subscriptions.hub.tenant(identity.tenant)
        member = Member(peer.socket, identity, tenant, session.sid, wanted.pid)
        member.takes_statuses = peer.takes_statuses
        member.generation = session.generation
        member.opened_at = session.opened_at
        # Events behind the offset never reached the client, and events of left rooms are not replayed. So the
        # stays end at the offset.
        member.remember(*(stay.up_to(after) for stay in session.stays if stay.joined_at < after))
        member.hold()
        return member

    def _send_away(self, sid: str) -> None:
        """Close the session's old socket if it lives here; for other replicas the claim has sent a message."""
        old = self._members.by_sid.get(sid)
        if old is not None:
            evict(self._members, old)

    async def _enter(self, member: Member, session: Session, rooms: list[RoomState], place: StreamPosition) -> int:
        """Add the member to its rooms; return the seq up to which no event will come live to it."""
        # After this, no event from before the claim is still under way to this replica.
        await self._members.subscriptions.locate(member.tenant, rooms, place.seq)
        position = member.last_seq = member.tenant.position
        for room in rooms:
            room.add(member, session.rooms[room.name])
        self._members.enter(member)
        return position

    async def _read_logs(self, member: Member, session: Session, after: int) -> Snapshot:
        """Read the logs of the rooms that the member has entered; raises `Unavailable` if `check_status` does."""
        members, tenant = self._members, member.tenant
        seqs = {name: max(after, joined_at) for name, joined_at in session.rooms.items()}
        snapshot, _ = await asyncio.gather(
            members.history.read(tenant.id, seqs, sure=session.seen_until),
            check_status(members, member, session.rooms),
        )
        return snapshot

    def _greet(
        self, member: Member, snapshot: Snapshot, told: list[QueuedFrame], closed: Iterable[Room]
    ) -> Admission:
        """Return the frames for the socket: missed events, `connected`, and the rooms that are closed to it."""
        kept = member.take_cork()
        due = in_order(missed_events(snapshot.logs.values(), kept, member.sid), kept, snapshot.epoch)
        self.replayed += len(due)
        member.last_seq = max(member.last_seq, snapshot.seq, *(corked.seq for corked in due))
        offset = Offset(snapshot.epoch, member.last_seq)
        follow = [
            *(corked.frame for corked in in_place(due, told)),
            greeting(member.identity, offset, recovered=True),
            *map(left_event, closed),
        ]
        if is_small(follow, self._portion_bytes):
            return Admission(member.sid, member.pid, follow, member.uncork)
        return Admission(member.sid, member.pid, begin=lambda: self._hand_over(member, follow))

    async def _hand_over(self, member: Member, follow: list[Frame]) -> None:
        """Send what was missed, then what came meanwhile, until the rest is small enough to be sent at once."""
        await send_chunked(member.socket, follow, self._portion_bytes)
        while not is_small((corked.frame for corked in member.cork or ()), self._portion_bytes):
            follow = [corked.frame for corked in member.take_cork()]
            await send_chunked(member.socket, follow, self._portion_bytes)
        member.uncork()


def _raise_if_lost(decision: Decision, session: Session | None) -> None:
    if decision.reason:
        raise Lost(decision.reason, session.rooms if session is not None and decision.keeps_rooms else {})
