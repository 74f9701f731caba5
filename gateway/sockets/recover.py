"""Recovering: a socket comes back and goes on with its session.

In order: the session is claimed, which sends its old socket away wherever that lives. Rooms that the user may not
be in any more are left out, the others are subscribed. The member enters them, corked, and only then the logs are
read: so every event is either in a log or in the cork. CONNECT goes out, what was missed, `connected`, the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gateway.core.frames import Frame
from gateway.core.history import StreamPosition
from gateway.core.model import NEVER, Identity, Member, QueuedFrame, RoomState
from gateway.core.recovery import Decision, Session, Wanted, decide, decide_again
from gateway.core.replay import in_order, missed_events, newest
from gateway.errors import Refused
from gateway.rooms.logs import Snapshot
from gateway.rooms.notices import unwatched
from gateway.sessions.store import Opened, SessionRef
from gateway.sockets.admission import check_status, greeting, subscribe
from gateway.sockets.changes import remove_room
from gateway.sockets.chunked_send import Sleep, is_small, send_chunked
from gateway.sockets.members import Members, evict
from gateway.sockets.presence_snapshot import catch_up, in_place
from gateway.sockets.room_access import RoomAccess, left_event
from gateway.sockets.socketio_server import Admission, Peer
from publisher import Offset
from publisher.rooms import Room


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


class Recovery:
    """Recovers sockets."""

    def __init__(self, members: Members, room_access: RoomAccess, sleep: Sleep) -> None:
        self._members = members
        self._portion_bytes = members.commands.limits.replay_portion_bytes
        self._sleep = sleep
        self._room_access = room_access
        self.replayed = 0
        """Events that sockets had missed and were given when they came back."""

    async def recover(self, peer: Peer, identity: Identity, wanted: Wanted) -> tuple[Member, Admission]:
        """Give a socket the session that it wants; raises `Lost`, and what `Connector.connect` raises."""
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
        claimed = self._claimed(wanted, identity, opened)
        closed = await self._room_access.closed_to(identity, claimed.rooms)
        session = claimed._replace(rooms={name: at for name, at in claimed.rooms.items() if name not in closed})
        after = wanted.offset.seq if wanted.offset else session.opened_at
        member = self._member(peer, identity, wanted, session, after)
        self._send_away(session.sid)
        # Asked for in the turn in which the tenant was: without any room it is forgotten.
        rooms = await subscribe(members, member, session.rooms)
        try:
            position = await self._enter(member, session, rooms, place)
            snapshot = await self._read_logs(member, session, after)
            members.subscriptions.learn(member.tenant, StreamPosition(snapshot.epoch, snapshot.seq), rooms)
            if newest(snapshot.logs.values()) > position:
                await members.subscriptions.catch_up(member.tenant, snapshot.seq)
            _raise_if_lost(decide_again(place.epoch, snapshot.epoch, snapshot.logs.values()), claimed)
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
        return member, self._greet(member, snapshot, told, (*closed, *session.taken))

    def _claimed(self, wanted: Wanted, identity: Identity, opened: Opened) -> Session:
        """Return the session if it may be resumed at that offset; raises `Lost`."""
        session, window_s = opened.session, self._members.settings.recovery_window_s
        _raise_if_lost(decide(wanted, identity.user_id, session, opened.place, window_s), session)
        assert session is not None
        return session

    def _member(self, peer: Peer, identity: Identity, wanted: Wanted, session: Session, after: int) -> Member:
        """Make the member, which is held."""
        tenant = self._members.subscriptions.hub.tenant(identity.tenant)
        member = Member(peer.socket, identity, tenant, session.sid, wanted.pid)
        member.takes_statuses = peer.takes_statuses
        member.generation = session.generation
        member.opened_at = session.opened_at
        # What its last socket was given behind that offset never reached the client, and is not replayed of rooms
        # that it has left.
        member.remember(*(stay.up_to(after) for stay in session.stays if stay.joined_at < after))
        member.hold()
        return member

    def _send_away(self, sid: str) -> None:
        """Close the session's old socket if it lives here; elsewhere the claim has seen to it."""
        old = self._members.by_sid.get(sid)
        if old is not None:
            evict(self._members, old)

    async def _enter(self, member: Member, session: Session, rooms: list[RoomState], place: StreamPosition) -> int:
        """Make it a member of its rooms; return the seq up to which nothing is on its way to it any more."""
        # From here on nothing that was published before the claim is under way to this replica any more.
        await self._members.subscriptions.locate(member.tenant, rooms, place.seq)
        position = member.last_seq = member.tenant.position
        for room in rooms:
            room.add(member, session.rooms[room.name])
        self._members.enter(member)
        return position

    async def _read_logs(self, member: Member, session: Session, after: int) -> Snapshot:
        """Read what the rooms have for a member that is in them already; raises `Unavailable` if it must go."""
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
        """Return what the socket gets: what it missed, `connected`, and which rooms it is not in any more."""
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
        while follow:
            await send_chunked(member.socket, follow, self._portion_bytes, self._sleep)
            follow = [corked.frame for corked in member.take_cork()]
        member.uncork()


def _raise_if_lost(decision: Decision, session: Session | None) -> None:
    if decision.reason:
        raise Lost(decision.reason, session.rooms if session is not None and decision.keeps_rooms else {})
