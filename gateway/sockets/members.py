"""The tables of members, and the services that the parts of the socket layer share."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any

import structlog

from gateway.access import EVERYONE, Access
from gateway.core.frames import Frame
from gateway.core.model import Member, RoomState, Tenant
from gateway.engine import CloseReason
from gateway.engine.errors import CloseCode
from gateway.presence.store import PresenceStore
from gateway.presence.sweeper import Sweeper
from gateway.redis.commands import Commands
from gateway.rooms.logs import History
from gateway.rooms.subscriptions import RoomSubscriptions
from gateway.sessions.store import SessionRef, Sessions
from gateway.settings import Settings
from gateway.sockets import packets
from gateway.sockets.answer_turns import AnswerTurns
from publisher.envelope import Envelope
from publisher.rooms import Room

log = structlog.get_logger("gateway.sockets")


class Members:
    """One replica's members, and the services for them."""

    def __init__(
        self,
        settings: Settings,
        commands: Commands,
        subscriptions: RoomSubscriptions,
        history: History,
        sessions: Sessions,
        presence: PresenceStore,
        sweeper: Sweeper,
        access: Access = EVERYONE,
    ) -> None:
        self.settings = settings
        self.commands = commands
        self.subscriptions = subscriptions
        self.history = history
        self.sessions = sessions
        self.access = access
        self.presence = presence
        self.sweeper = sweeper
        self.by_sid: dict[str, Member] = {}
        self.limited: Counter[str] = Counter()
        """Number of times that members hit a limit, by limit."""
        self.typing: dict[Member, dict[Room, float]] = {}
        """Conversations that members type in, each with the loop time at which Redis was last told."""
        self.answer_turns = AnswerTurns(settings.max_waiting_questions, self.limited)
        self.refused: Counter[str] = Counter()
        """Number of members' events that were refused, by code."""
        self._changing: dict[Member, tuple[asyncio.Lock, int]] = {}
        """For each member whose session is being changed: the lock, and the number of changes that want it."""
        self._publishing: set[asyncio.Future[Any]] = set()

    def enter(self, member: Member) -> None:
        """Add a member to the tables. If two members share a sid, `by_sid` has the one that claimed last."""
        named = self.by_sid.get(member.sid)
        if named is None or named.generation <= member.generation:
            self.by_sid[member.sid] = member
        member.tenant.members.add(member)

    def take_out(self, member: Member) -> None:
        """Take a member out of its rooms and the tables; it gets no later events of its rooms."""
        member.flush()
        for room in list(member.rooms):
            room.remove(member)
            self.subscriptions.note_idle(room)
        if self.by_sid.get(member.sid) is member:
            del self.by_sid[member.sid]
        member.tenant.members.discard(member)

    def leave_room(self, member: Member, room: RoomState) -> None:
        """Take a member out of one room, and end its typing there; its waiting conflated events are sent first."""
        member.flush()
        member.leave(room)
        self.stopped_typing(member, room.name)
        self.subscriptions.note_idle(room)

    def stopped_typing(self, member: Member, room: Room) -> bool:
        """Note that a member has stopped typing in a conversation; return whether it typed there."""
        return self.typing.get(member, {}).pop(room, None) is not None

    def tell(self, member: Member, event: str, *args: Any) -> None:
        """Send an event of the gateway's own to one socket."""
        member.socket.send_frame(Frame(packets.event(event, *args)))

    def publish(self, envelope: Envelope) -> None:
        """Publish an ephemeral event in the background; errors are ignored."""
        task = asyncio.ensure_future(self.commands.publish(envelope))
        self._publishing.add(task)
        task.add_done_callback(self._published)

    def _published(self, task: asyncio.Future[Any]) -> None:
        self._publishing.discard(task)
        if not task.cancelled():
            task.exception()

    async def write_again(self, tenant: Tenant, members: Iterable[Member]) -> None:
        """Write sessions again that Redis has lost, or whose sockets it counts as gone; skip members that ended.

        A fence comes first: a replica that was frozen would otherwise restore a session that ended meanwhile.
        Raises `RedisUnavailable`, `ReplyError` or `Unavailable`.
        """
        await self.subscriptions.fence(tenant)
        # Members without a change under way come first: they need not wait for one.
        for member in sorted(members, key=lambda member: member in self._changing):
            async with self.changing(member):
                await self._write_if_there(member)

    async def write_changed(self, member: Member) -> None:
        """Do the same for one member, whose lock (`changing`) the caller holds."""
        await self.subscriptions.fence(member.tenant)
        await self._write_if_there(member)

    async def _write_if_there(self, member: Member) -> None:
        if member in member.tenant.members and not member.socket.closed:
            await self.write_session(member, opened_at=member.opened_at)

    @contextlib.asynccontextmanager
    async def changing(self, member: Member) -> AsyncIterator[None]:
        """Hold the lock of a member's session during the block, so that there is one change at a time.

        Without it, writing a whole session could undo a join or a leave of the same time.
        """
        lock, waiting = self._changing.get(member) or (asyncio.Lock(), 0)
        self._changing[member] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            _, waiting = self._changing.pop(member)
            if waiting > 1:
                self._changing[member] = lock, waiting - 1

    async def write_session(self, member: Member, *, opened_at: int | None = None) -> None:
        """Write a member's session as it is now; raises `RedisUnavailable` or `ReplyError`."""
        rooms = {room.name: joined_at for room, joined_at in member.rooms.items()}
        await self.sessions.open(session_ref(member), rooms, opened_at=opened_at, stays=member.stays or ())


def evict(members: Members, member: Member) -> None:
    """Close a socket whose session another socket has claimed."""
    members.take_out(member)
    member.socket.close(CloseReason.SERVER, CloseCode.POLICY)


def session_ref(member: Member) -> SessionRef:
    """Return the names by which Redis knows a member's session."""
    identity = member.identity
    token = identity.token_id, identity.issued_at
    return SessionRef(member.tenant.id, identity.user_id, member.pid, member.sid, member.generation, *token)


def facts(member: Member) -> dict[str, str]:
    """Return the fields of a log line about a member."""
    return {"sid": member.sid, "user": member.identity.user_id, "tenant": member.tenant.id}
