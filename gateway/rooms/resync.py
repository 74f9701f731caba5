"""The resync: what a tenant's rooms missed is read from their logs and handed out before anything newer.

It begins when the connection breaks, or when a live message shows that something before it was never seen.
From then on the tenant's live messages wait. The logs are read from the last seq that was handed out, merged
with what waits, and handed out in order; then the tenant is live again. What the logs have no more can't be
made good: the members it was for get nothing from that moment on, so that they come back with the offset they
had before, and are told. A tenant whose logs can't be read holds up no other: see `unreadable`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from gateway.core.conflation import latest
from gateway.core.history import Entry, Log
from gateway.core.hub import Hub, is_strange, merge
from gateway.core.model import RoomState, Tenant
from gateway.redis.commands import Commands
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.redis.read_limiter import ReadLimiter
from gateway.redis.subscriber import Subscriber
from gateway.rooms.logs import History
from gateway.rooms.notices import notice
from gateway.rooms.portions import Portions
from gateway.rooms.read_retry import ReadRetry, is_tenants
from gateway.tasks import cancelled
from publisher import wire
from publisher.offsets import SEQ_PER_S

# Tenants that are resynced at a time: one that waits for Redis keeps nobody else from going on.
AT_ONCE = 32
# What an event takes beside its body.
ENTRY_BYTES = 512
# Of it, handed out in one go: well below what a socket may have unsent.
PORTION_BYTES = 128 << 10
# After a failover the new master's clock may be behind the old one's.
CLOCK_MARGIN = 5 * SEQ_PER_S

_log = structlog.get_logger("gateway.rooms")


class Recipients(Protocol):
    """The part of the socket layer that resyncs report to."""

    def control(self, room: RoomState, message: wire.Message) -> None:
        """A message for the gateways came on a user's room."""

    def hole(self, room: RoomState) -> None:
        """Something for this room is gone for good: silence its members now, and have them come back."""

    def history_lost(self, tenant: Tenant) -> None:
        """Redis lost a tenant's history: silence its members now, and have them come back, with their rooms."""

    async def recheck(self, tenant: Tenant) -> None:
        """Control messages may have been missed: look up what they would have said."""


class Resync:
    """The resyncs of one replica; `subscriber_of(tenant id)` is what hears a tenant, of a cluster its shard's."""

    def __init__(
        self, hub: Hub, commands: Commands, history: History, subscriber_of: Callable[[str], Subscriber]
    ) -> None:
        self.recipients: Recipients | None = None
        self.count = 0
        self.holes = 0
        self.restarts = 0
        self.unreadable = ReadRetry(self._again, self._tell_all, hub.limits)
        self._hub = hub
        self._limits = hub.limits
        self._subscriber_of = subscriber_of
        self._commands = commands
        self._history = history
        self._deaf: set[Subscriber] = set()
        self._moving: set[Tenant] = set()
        """Tenants on their way to another shard: the one does not hear them any more, the other not yet."""
        self._under_way: dict[Tenant, asyncio.Task[None]] = {}
        self._turns = ReadLimiter(self._limits.resync_bytes, AT_ONCE)
        self._unsettled: dict[Tenant, set[asyncio.Future[None]]] = {}
        """Those who wait for a tenant, which comes before tenants that nobody waits for."""

    async def stop(self) -> None:
        """Give up what is under way."""
        self.unreadable.stop()
        await cancelled(*self._under_way.values())

    def watch(self, tenant: Tenant) -> None:
        """Have a tenant that is new here wait with the others, while the connection is down."""
        if tenant.backlog is None and self._is_deaf(tenant):
            self._hold(tenant)

    async def settled(self, tenant: Tenant) -> None:
        """Wait until no resync of this tenant is under way."""
        while tenant.backlog is not None:
            waiter = asyncio.get_running_loop().create_future()
            waiters = self._unsettled.setdefault(tenant, set())
            waiters.add(waiter)
            self._turns.hurry(tenant)
            try:
                await waiter
            finally:
                waiters.discard(waiter)
                if not waiters and self._unsettled.get(tenant) is waiters:
                    del self._unsettled[tenant]

    def lost(self, subscriber: Subscriber) -> None:
        """A connection broke: from here on all that it hears may miss something."""
        for tenant in self._heard_by(subscriber):
            self._stop_hearing(tenant)
        self._deaf.add(subscriber)

    async def back(self, subscriber: Subscriber) -> None:
        """Resync what a subscriber hears that is back, with every channel subscribed.

        Raises `RedisUnavailable` when its connection is lost again.
        """
        await subscriber.commands.wait_up(self._limits.redis_patience_s)
        self._deaf.discard(subscriber)
        tenants = self._heard_by(subscriber)
        self._moving.difference_update(tenants)
        await self._run_all(tenants)
        for tenant in tenants:
            if tenant in self._moving or self._subscriber_of(tenant.id) is not subscriber:
                continue  # gone to another shard meanwhile, whose matter it is
            if subscriber in self._deaf or (tenant.backlog is not None and tenant not in self.unreadable):
                raise RedisUnavailable("the connection to Redis broke again")

    def moving(self, channels: Iterable[bytes]) -> None:
        """The tenants of some channels go to another shard: until `moved` they may miss something."""
        for tenant in self._tenants(channels):
            self._stop_hearing(tenant)
            self._moving.add(tenant)

    async def moved(self, channels: Iterable[bytes]) -> None:
        """The channels are heard at their new shard, which can be asked."""
        tenants = self._tenants(channels)
        self._moving.difference_update(tenants)
        await self._run_all(tenants)

    async def _run_all(self, tenants: Iterable[Tenant]) -> None:
        """Resync tenants, first those that somebody waits for."""
        due = sorted(tenants, key=lambda tenant: tenant not in self._unsettled)
        tasks = [self._task(tenant) for tenant in due if tenant.backlog is not None]
        if tasks:
            await asyncio.wait(tasks)

    def gone(self, subscriber: Subscriber) -> None:
        """A shard is gone for good."""
        self._deaf.discard(subscriber)

    def start(self, tenant: Tenant) -> None:
        """Resync one tenant, whose live messages wait from now on."""
        self._hold(tenant)
        if not self._is_deaf(tenant):
            self._task(tenant)

    def _is_deaf(self, tenant: Tenant) -> bool:
        return tenant in self._moving or self._subscriber_of(tenant.id) in self._deaf

    def _heard_by(self, subscriber: Subscriber) -> list[Tenant]:
        return [tenant for tenant in self._hub.tenants.values() if self._subscriber_of(tenant.id) is subscriber]

    def _tenants(self, channels: Iterable[bytes]) -> set[Tenant]:
        return {self._hub.channels[channel].tenant for channel in channels if channel in self._hub.channels}

    def _stop_hearing(self, tenant: Tenant) -> None:
        task = self._under_way.pop(tenant, None)
        if task is not None:
            task.cancel()  # `back` or `moved` begins it again
        if tenant.backlog is None:
            self._hold(tenant)
        else:
            tenant.breaks += 1

    def _task(self, tenant: Tenant) -> asyncio.Task[None]:
        """Return the one task that resyncs a tenant."""
        task = self._under_way.get(tenant)
        if task is None:
            task = self._under_way[tenant] = asyncio.create_task(self._try(tenant))
        return task

    def _hold(self, tenant: Tenant) -> None:
        if not tenant.backlog:
            tenant.backlog = []
        tenant.breaks += 1
        # As of the first break: later probes come back over a connection that has not made good what was missed.
        if tenant.heard_until is None and tenant not in self._moving:
            tenant.heard_until = self._subscriber_of(tenant.id).heard_until

    async def _try(self, tenant: Tenant) -> None:
        try:
            async with self._turns.turn(tenant, is_urgent=tenant in self._unsettled):
                # Again while something new was missed before the last round was over.
                while tenant.backlog is not None and not self._is_deaf(tenant):
                    await self._run(tenant)
                    self.unreadable.over(tenant)
        except (RedisUnavailable, ReplyError) as error:
            if is_tenants(error):
                self._put_off(tenant, error)
                return
            _log.warning("redis_resync_failed", reason=str(error))
            if not self._is_deaf(tenant):
                self._subscriber_of(tenant.id).drop()
        finally:
            if self._under_way.get(tenant) is asyncio.current_task():
                del self._under_way[tenant]

    def _put_off(self, tenant: Tenant, error: RedisUnavailable | ReplyError) -> None:
        """Have a tenant wait until its logs can be read."""
        if tenant.backlog is None:
            tenant.backlog = []  # they could, but not what control messages would have said meanwhile
        self.unreadable.note(tenant, error)

    def _again(self, tenant: Tenant) -> None:
        if tenant.backlog is not None and not self._is_deaf(tenant):
            self._task(tenant)

    def _tell_all(self, tenant: Tenant) -> None:
        """Tell a tenant's members that what they wait for may not come; until it is read nobody gets in again."""
        rooms = [room for room in tenant.rooms.values() if room.members]
        self.holes += len(rooms)
        for room in rooms:
            if self.recipients is not None:
                self.recipients.hole(room)

    async def _run(self, tenant: Tenant) -> None:
        rooms, events, holes = 0, 0, 0
        tenant.overrun = True
        while tenant.overrun:
            tenant.overrun = False
            epoch, logs = await self._read(tenant)
            if epoch == tenant.epoch and any(log.lacks(room.newest) for room, log in logs.items()):
                # Who was away then would miss it in silence, and a clock that is behind could hide what comes.
                epoch = await self._history.renew_epoch(tenant.id, epoch)
            if tenant.epoch is not None and epoch != tenant.epoch:
                await self._restart(tenant, epoch)
                continue
            missed = [(room, _message(epoch, entry)) for room, log in logs.items() for entry in log.entries]
            rooms, events = len(logs), events + len(missed)
            self._turns.note(sum(ENTRY_BYTES + len(message.body) for _, message in missed))
            holes += self._tell_holes(tenant, logs)
            await self._hand_out(tenant, missed)
        self.count += 1
        _log.info("tenant_resynced", tenant=tenant.id, rooms=rooms, events=events, holes=holes)
        notice(self._commands, tenant.id, "resynced", rooms=rooms, events=events, holes=holes)
        if self.recipients is not None:
            await self.recipients.recheck(tenant)
        if tenant.backlog is None:
            tenant.heard_until = None

    async def _read(self, tenant: Tenant) -> tuple[str, dict[RoomState, Log]]:
        """Read the logs of all rooms that were heard before; what is published from now on comes live.

        Raises `RedisUnavailable` where another server was asked than we hear: what comes live does not follow
        what that one has.
        """
        subscriber = self._subscriber_of(tenant.id)
        asked = subscriber.commands.server
        rooms = [room for room in tenant.rooms.values() if room.last_seq is not None]
        # A silent room was heard, too: its log may be gone, and nothing is missing.
        heard = (tenant.heard_until or 0) - CLOCK_MARGIN
        epoch = ""
        logs: dict[RoomState, Log] = {}
        size = self._limits.resync_rooms
        for i in range(0, max(len(rooms), 1), size):
            batch = {room.name: room for room in rooms[i : i + size]}
            after = {name: room.last_seq or 0 for name, room in batch.items()}
            snapshot = await self._history.read(tenant.id, after, heard=heard)
            epoch = snapshot.epoch
            logs |= {batch[name]: log for name, log in snapshot.logs.items()}
        # An event that one batch was read too early for, and another one late enough, is under way to us.
        await subscriber.fence()
        if not asked == subscriber.commands.server == subscriber.server:
            subscriber.commands.drop()
            raise RedisUnavailable("one server was asked and another one heard")
        return epoch, logs

    def _tell_holes(self, tenant: Tenant, logs: dict[RoomState, Log]) -> int:
        """Tell the members of rooms of which something is gone, or comes too late for them."""
        holes = [
            room
            for room, log in logs.items()
            if not log.complete or (log.entries and log.entries[0].seq <= tenant.position)
        ]
        for room in holes:
            if self.recipients is not None:
                self.recipients.hole(room)
        for room, log in logs.items():
            if not log.entries:
                room.last_seq = max(room.last_seq or 0, log.until)
        self.holes += len(holes)
        return len(holes)

    async def _restart(self, tenant: Tenant, epoch: str) -> None:
        """Go on in a new epoch: what was missed is unknown, and everyone of the tenant is told so.

        The new epoch's seqs may be lower, where the new server's clock is behind.
        """
        place = await self._history.read(tenant.id, {})
        # What was taken away up to there has to be heard: sessions are written again as of that place.
        await self._subscriber_of(tenant.id).fence()
        notice(self._commands, tenant.id, "history lost", epoch=epoch)
        if self.recipients is not None:
            self.recipients.history_lost(tenant)
        self.restarts += 1
        tenant.overrun = False  # what there was too much of is of the old epoch
        tenant.epoch = epoch
        tenant.position = place.seq
        for room in tenant.rooms.values():
            room.last_seq, room.newest = place.seq, 0
        # What came live in the new epoch, from its place on, is not to be missed: it would be a hole.
        new = f"{epoch}-".encode()
        tenant.backlog = [
            (room, message)
            for room, message in tenant.backlog or ()
            if message.flag == wire.Flag.CONTROL or (message.seq > place.seq and message.offset.startswith(new))
        ]
        await self._hand_out(tenant, [])

    async def _hand_out(self, tenant: Tenant, missed: list[tuple[RoomState, wire.Message]]) -> None:
        """Dispatch what was read together with what came meanwhile, until nothing waits any more.

        Once more came than is kept, what is left of it has a hole: it is dropped, and the logs are read again.
        """
        portions = Portions(min(PORTION_BYTES, self._history.retention.max_event_bytes // 2))
        while True:
            live, tenant.backlog = tenant.backlog or [], []
            if tenant.overrun:
                live = [(room, message) for room, message in live if message.flag == wire.Flag.CONTROL]
            due = latest(merge(live, missed), _conflated)
            logged, missed = missed, []
            for i, (room, message) in enumerate(due):
                if _is_strangers(room, message, logged):
                    self._hub.stats.repeated += 1
                    continue
                await self._dispatch(room, message)
                await portions.did(ENTRY_BYTES + len(message.body), tenant.members)
                if (i + 1) % self._limits.resync_events == 0:
                    await asyncio.sleep(0)
            if tenant.overrun:
                return
            if not tenant.backlog:
                if not self._is_deaf(tenant):
                    self._settle(tenant)
                return

    async def _dispatch(self, room: RoomState, message: wire.Message) -> None:
        rest = self._hub.dispatch(room, message)
        try:
            while rest is not None:
                await asyncio.sleep(0)
                rest = rest()
        finally:
            # Cancelled halfway: the room counts as served, so the others must be.
            while rest is not None:
                rest = rest()

    def _settle(self, tenant: Tenant) -> None:
        """Go on live with a tenant."""
        tenant.backlog = None
        for member in tenant.members:
            member.handed_late()
        for waiter in self._unsettled.pop(tenant, ()):
            if not waiter.done():
                waiter.set_result(None)


def _is_strangers(room: RoomState, message: wire.Message, logged: list[tuple[RoomState, wire.Message]]) -> bool:
    """Return whether an event came from a server that is the master no more.

    The log has the room's newest event, so whoever published one that does not follow it wrote into another log.
    """
    if message.flag != wire.Flag.RECOVERABLE or message.conflate or not is_strange(room, message):
        return False
    return not any(message is read for _, read in logged)


def _message(epoch: str, entry: Entry) -> wire.Message:
    offset = f"{epoch}-{entry.seq}".encode()
    flag = wire.Flag.RECOVERABLE
    return wire.Message(offset, entry.seq, entry.previous, flag, entry.skip_sid, entry.body, entry.conflate)


def _conflated(due: tuple[RoomState, wire.Message]) -> tuple[RoomState, bytes] | None:
    """Return what only the latest event counts of; who is left out of one is still owed the one before."""
    room, message = due
    return (room, message.conflate) if message.conflate and message.skip_sid == b"-" else None
