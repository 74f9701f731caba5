"""The resync: missed events of a tenant's rooms are read from their logs and handed out before newer ones.

It begins when the connection breaks, or when a live message shows a gap before it. From then on the tenant's live
messages wait in its backlog. The logs are read from the last seq that was handed out, merged with the backlog, and
handed out in order; then the tenant is live again. If the logs lack events, nothing can fill the gap. The members
of the room get nothing from that moment on, so that they come back with an offset before the gap, and are told. A
tenant whose logs can't be read does not delay other tenants: see `read_retry`.
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

# Tenants that are resynced at a time: a tenant that waits for Redis must not delay the others.
AT_ONCE = 32
# Assumed bytes of an event besides its body.
ENTRY_BYTES = 512
# Bytes that are handed out at a time: well below the limit on the unsent bytes of a socket.
PORTION_BYTES = 128 << 10
# After a failover the new master's clock may be behind the old one's.
CLOCK_MARGIN = 5 * SEQ_PER_S

_log = structlog.get_logger("gateway.rooms")


class Recipients(Protocol):
    """Port: the part of the socket layer that gets control messages and the findings of resyncs."""

    def control(self, room: RoomState, message: wire.Message) -> None:
        """Handle a control message on a user's own room."""

    def hole(self, room: RoomState) -> None:
        """Handle lost events of a room: mute its members now, and close them to come back."""

    def history_lost(self, tenant: Tenant) -> None:
        """Handle a lost history: mute the tenant's members now, and close them to come back with their rooms."""

    async def recheck(self, tenant: Tenant) -> None:
        """Handle control messages that may have been missed: look up their effects in Redis."""

    async def tell_again(self, tenant: Tenant) -> None:
        """Have presence told again that may have been missed; the tenant is live."""


class Resync:
    """The resyncs of one replica; `subscriber_of(tenant id)` returns the tenant's, or its shard's, subscriber."""

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
        """Tenants on their way to another shard: neither the old nor the new subscriber hears them now."""
        self._under_way: dict[Tenant, asyncio.Task[None]] = {}
        self._turns = ReadLimiter(self._limits.resync_bytes, AT_ONCE)
        self._unsettled: dict[Tenant, set[asyncio.Future[None]]] = {}
        """Callers that wait for a tenant; such tenants are resynced before others."""

    async def stop(self) -> None:
        """Cancel the resyncs under way, of all tenants."""
        self.unreadable.stop()
        await cancelled(*self._under_way.values())

    def watch(self, tenant: Tenant) -> None:
        """Start the backlog of a tenant that is new here, if its connection is down."""
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
        """Start the backlogs of a subscriber's tenants: its connection broke, so they may miss messages."""
        for tenant in self._heard_by(subscriber):
            self._stop_hearing(tenant)
        self._deaf.add(subscriber)

    async def back(self, subscriber: Subscriber) -> None:
        """Resync the tenants of a subscriber that is back, with every channel subscribed.

        Raises `RedisUnavailable` if its connection is lost again.
        """
        await subscriber.commands.wait_up(self._limits.redis_patience_s)
        self._deaf.discard(subscriber)
        tenants = self._heard_by(subscriber)
        self._moving.difference_update(tenants)
        await self._run_all(tenants)
        for tenant in tenants:
            if tenant in self._moving or self._subscriber_of(tenant.id) is not subscriber:
                continue  # it moves to another shard, and is resynced there
            if subscriber in self._deaf or (tenant.backlog is not None and tenant not in self.unreadable):
                raise RedisUnavailable("the connection to Redis broke again")

    def moving(self, channels: Iterable[bytes]) -> None:
        """Start the backlogs of tenants whose channels change shards: until `moved` they may miss messages."""
        for tenant in self._tenants(channels):
            self._stop_hearing(tenant)
            self._moving.add(tenant)

    async def moved(self, channels: Iterable[bytes]) -> None:
        """Resync the tenants of channels that are subscribed at their new shard, whose commands are up."""
        tenants = self._tenants(channels)
        self._moving.difference_update(tenants)
        await self._run_all(tenants)

    async def _run_all(self, tenants: Iterable[Tenant]) -> None:
        """Resync tenants, first those that a caller waits for."""
        due = sorted(tenants, key=lambda tenant: tenant not in self._unsettled)
        tasks = [self._task(tenant) for tenant in due if tenant.backlog is not None]
        if tasks:
            await asyncio.wait(tasks)

    def gone(self, subscriber: Subscriber) -> None:
        """Forget the subscriber of a shard that is gone for good."""
        self._deaf.discard(subscriber)

    def start(self, tenant: Tenant) -> None:
        """Start the backlog of one tenant, and resync it at once, or when its connection is back."""
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
            task.cancel()  # `back` or `moved` starts it again
        if tenant.backlog is None:
            self._hold(tenant)
        else:
            tenant.breaks += 1

    def _task(self, tenant: Tenant) -> asyncio.Task[None]:
        """Return the only task that resyncs a tenant; a new one is started."""
        task = self._under_way.get(tenant)
        if task is None:
            task = self._under_way[tenant] = asyncio.create_task(self._try(tenant))
        return task

    def _hold(self, tenant: Tenant) -> None:
        if not tenant.backlog:
            tenant.backlog = []
        tenant.breaks += 1
        # The first break counts: later probes arrive over a connection whose missed messages are not read yet.
        if tenant.heard_until is None and tenant not in self._moving:
            tenant.heard_until = self._subscriber_of(tenant.id).heard_until

    async def _try(self, tenant: Tenant) -> None:
        try:
            async with self._turns.turn(tenant, is_urgent=tenant in self._unsettled):
                # Once more if new messages were missed before the last round ended.
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
        """Keep a tenant's backlog until its logs can be read."""
        if tenant.backlog is None:
            tenant.backlog = []  # the logs were read, but presence could not be told again
        self.unreadable.note(tenant, error)

    def _again(self, tenant: Tenant) -> None:
        if tenant.backlog is not None and not self._is_deaf(tenant):
            self._task(tenant)

    def _tell_all(self, tenant: Tenant) -> None:
        """Report a gap for all rooms of a tenant. Its members are closed, and can't come back before a read."""
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
                # A client that is away would miss the lost event in silence, and seqs may be lower from now on.
                epoch = await self._history.renew_epoch(tenant.id, epoch)
            if tenant.epoch is not None and epoch != tenant.epoch:
                await self._restart(tenant, epoch)
                continue
            missed = [(room, _message(epoch, entry)) for room, log in logs.items() for entry in log.entries]
            rooms, events = len(logs), events + len(missed)
            self._turns.note(sum(ENTRY_BYTES + len(message.body) for _, message in missed))
            holes += self._tell_holes(tenant, logs)
            if self.recipients is not None:
                # Revocations may have been missed, too, and what follows one is not for its user.
                await self.recipients.recheck(tenant)
            await self._hand_out(tenant, missed)
        self.count += 1
        _log.info("tenant_resynced", tenant=tenant.id, rooms=rooms, events=events, holes=holes)
        notice(self._commands, tenant.id, "resynced", rooms=rooms, events=events, holes=holes)
        if self.recipients is not None:
            # Afterwards: ephemeral events do not wait in a backlog.
            await self.recipients.tell_again(tenant)
        if tenant.backlog is None:
            tenant.heard_until = None

    async def _read(self, tenant: Tenant) -> tuple[str, dict[RoomState, Log]]:
        """Read the logs of all rooms that were heard before; events that are published from now on come live.

        Raises `RedisUnavailable` if the server that was asked is not the one that we hear: then live events need
        not follow the logs.
        """
        subscriber = self._subscriber_of(tenant.id)
        asked = subscriber.commands.server
        rooms = [room for room in tenant.rooms.values() if room.last_seq is not None]
        # A silent room was heard, too: if its log has expired, nothing is missing.
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
        # An event of two rooms may be in the log of a later batch only. Then it is still under way to us.
        await subscriber.fence()
        if not asked == subscriber.commands.server == subscriber.server:
            subscriber.commands.drop()
            raise RedisUnavailable("commands and messages were on different servers")
        return epoch, logs

    def _tell_holes(self, tenant: Tenant, logs: dict[RoomState, Log]) -> int:
        """Report rooms with lost events, or with events that come too late for the order; return their number."""
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
        """Continue in a new epoch: missed events are unknown, and all members of the tenant are told.

        The seqs of the new epoch may be lower, if the new server's clock is behind.
        """
        place = await self._history.read(tenant.id, {})
        # Hear all revocations up to that place first: sessions are written again as of then.
        await self._subscriber_of(tenant.id).fence()
        notice(self._commands, tenant.id, "history lost", epoch=epoch)
        if self.recipients is not None:
            self.recipients.history_lost(tenant)
        self.restarts += 1
        tenant.overrun = False  # the dropped messages are of the old epoch
        tenant.epoch = epoch
        tenant.position = place.seq
        for room in tenant.rooms.values():
            room.last_seq, room.newest = place.seq, 0
        # Keep live messages of the new epoch after its place: without them there would be a gap.
        new = f"{epoch}-".encode()
        tenant.backlog = [
            (room, message)
            for room, message in tenant.backlog or ()
            if message.flag == wire.Flag.CONTROL or (message.seq > place.seq and message.offset.startswith(new))
        ]
        await self._hand_out(tenant, [])

    async def _hand_out(self, tenant: Tenant, missed: list[tuple[RoomState, wire.Message]]) -> None:
        """Dispatch the events that were read and the backlog in order, until no message waits.

        If the backlog lost messages, it has a gap: only its control messages count, and the caller reads again.
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
            # If cancelled halfway, serve the remaining members: the room counts as served.
            while rest is not None:
                rest = rest()

    def _settle(self, tenant: Tenant) -> None:
        """Make a tenant live again."""
        tenant.backlog = None
        for member in tenant.members:
            member.handed_late()
        for waiter in self._unsettled.pop(tenant, ()):
            if not waiter.done():
                waiter.set_result(None)


def _is_strangers(room: RoomState, message: wire.Message, logged: list[tuple[RoomState, wire.Message]]) -> bool:
    """Return whether an event came from a server that is no longer the master.

    The log has the room's newest event, so an event that does not follow it was written into another log.
    """
    if message.flag != wire.Flag.RECOVERABLE or message.conflate or not is_strange(room, message):
        return False
    return not any(message is read for _, read in logged)


def _message(epoch: str, entry: Entry) -> wire.Message:
    offset = f"{epoch}-{entry.seq}".encode()
    flag = wire.Flag.RECOVERABLE
    return wire.Message(offset, entry.seq, entry.previous, flag, entry.skip_sid, entry.body, entry.conflate)


def _conflated(due: tuple[RoomState, wire.Message]) -> tuple[RoomState, bytes] | None:
    """Return room and conflation key of an event that replaces earlier ones; one that skips a socket does not."""
    room, message = due
    return (room, message.conflate) if message.conflate and message.skip_sid == b"-" else None
