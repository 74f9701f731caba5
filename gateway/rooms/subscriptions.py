"""The rooms of this replica and their subscriptions.

The hub decides without I/O; this module subscribes and waits for it. A room that `subscribe` returned is heard
from that moment on, through every break of the connection: after a break, `Resync` reads the missed events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice

from gateway.core.clock import ServerClock
from gateway.core.history import StreamPosition
from gateway.core.hub import Hub, Troubles
from gateway.core.model import RoomState, Tenant
from gateway.errors import Unavailable
from gateway.redis.cluster.commands import ClusterCommands
from gateway.redis.cluster.subscriber import ClusterSubscriber
from gateway.redis.commands import Commands
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.redis.subscriber import Subscriber
from gateway.rooms.logs import History, Snapshot
from gateway.rooms.resync import Recipients, Resync
from gateway.tasks import cancelled
from publisher import wire
from publisher.rooms import Room

# Rooms that are dropped at a time, some 3 ms: dropping 200,000 of them must not stop the loop for a second.
SWEPT_AT_ONCE = 500


class RoomSubscriptions:
    """The rooms of one replica, and their connection to Redis."""

    def __init__(
        self,
        commands: Commands,
        history: History,
        *,
        clock: ServerClock,
        linger_s: float,
        hub: Callable[[Troubles], Hub] = Hub,
    ) -> None:
        self.hub = hub(self)
        self.resync = resync = Resync(self.hub, commands, history, lambda tenant: self.subscriber.of(tenant))
        self.subscriber: Subscriber | ClusterSubscriber
        if isinstance(commands, ClusterCommands):
            self.subscriber = ClusterSubscriber(
                commands, on_message=self.hub.receive, listener=resync, clock=clock
            )
        else:
            self.subscriber = subscriber = Subscriber(
                commands.source,
                commands,
                on_message=self.hub.receive,
                on_lost=lambda: resync.lost(subscriber),
                on_back=lambda: resync.back(subscriber),
                clock=clock,
            )
        self._history = history
        self._sweep_s = commands.limits.idle_sweep_s
        self._patience_s = commands.limits.redis_patience_s
        self._linger_s = linger_s
        self._idle: dict[RoomState, float] = {}
        self._asking: dict[Tenant, asyncio.Future[Snapshot]] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Connect to Redis and begin to unsubscribe idle rooms; raises `RedisUnavailable`."""
        await self.subscriber.start()
        self._sweeper = asyncio.create_task(self._keep_sweeping(), name="idle rooms")

    async def stop(self) -> None:
        """Stop the resyncs, and disconnect from Redis."""
        await cancelled(self._sweeper)
        await self.resync.stop()
        await self.subscriber.stop()

    # -- rooms

    async def subscribe(self, tenant: Tenant, names: Iterable[Room]) -> list[RoomState]:
        """Subscribe rooms; return them, pinned until `release`, when Redis has confirmed.

        Waits for a resync under way, too. Raises `Unavailable` if that takes too long.
        """
        self.resync.watch(tenant)
        rooms = [self.hub.room(tenant, name) for name in names]
        for room in rooms:
            room.pins += 1
        waiting = [f for room in rooms if not (f := self.subscriber.subscribe(room.channel)).done()]
        if waiting or tenant.backlog is not None:
            try:
                async with asyncio.timeout(self._patience_s):
                    for future in waiting:
                        await asyncio.shield(future)
                    await self.resync.settled(tenant)
            except BaseException as error:
                self.release(rooms)
                if isinstance(error, TimeoutError):
                    raise Unavailable from None
                raise
        return rooms

    def release(self, rooms: Iterable[RoomState]) -> None:
        """Unpin rooms that `subscribe` returned, so that they may be unsubscribed when idle."""
        for room in rooms:
            room.pins -= 1
            self.note_idle(room)

    def note_idle(self, room: RoomState) -> None:
        """Note that a room may be idle: `linger_s` seconds after its last use it is unsubscribed."""
        if not room.in_use:
            self._idle.setdefault(room, self._loop.time())

    async def place(self, tenant: Tenant) -> StreamPosition:
        """Return the tenant's position in its history, as of a moment after this call.

        Calls in the same turn of the loop share one question to Redis. Raises `Unavailable`.
        """
        asking = self._asking.get(tenant)
        if asking is None:
            asking = self._asking[tenant] = self._loop.create_future()
            self._loop.call_soon(self._ask_place, tenant, asking)
        try:
            snapshot = await asyncio.shield(asking)
        except (RedisUnavailable, ReplyError):
            raise Unavailable from None
        return StreamPosition(snapshot.epoch, snapshot.seq)

    def _ask_place(self, tenant: Tenant, asking: asyncio.Future[Snapshot]) -> None:
        del self._asking[tenant]
        task = asyncio.ensure_future(self._history.read(tenant.id, {}))
        task.add_done_callback(lambda done: _pass_on(done, asking))

    async def locate(self, tenant: Tenant, rooms: Iterable[RoomState], seq: int = 0) -> None:
        """Set `last_seq` of new rooms, and wait until all messages up to `seq` are handed out.

        Members may enter the rooms only after that. If the connection broke while the position was asked for, the
        answer is ignored: events between it and the new subscription would be missed. Raises `Unavailable`.
        """
        rooms = list(rooms)
        while any(room.last_seq is None for room in rooms):
            breaks = tenant.breaks
            place = await self.place(tenant)
            if tenant.breaks == breaks:
                self.learn(tenant, place, rooms)
                seq = max(seq, place.seq)
            else:
                await self._settled(tenant)
        await self.catch_up(tenant, seq)

    async def _settled(self, tenant: Tenant) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self.resync.settled(tenant)
        except TimeoutError:
            raise Unavailable from None

    def learn(self, tenant: Tenant, place: StreamPosition, rooms: Iterable[RoomState]) -> None:
        """Note a position of the tenant: new rooms among these get its seq as `last_seq`.

        Raises `Unavailable` if the position is in another epoch: a resync has to tell the members first.
        """
        if tenant.epoch is None:
            tenant.epoch = place.epoch
        elif tenant.epoch != place.epoch:
            self.resync.start(tenant)
            raise Unavailable
        for room in rooms:
            if room.last_seq is None:
                room.last_seq = place.seq

    async def catch_up(self, tenant: Tenant, seq: int) -> None:
        """Wait until all messages up to `seq` are handed out; raises `Unavailable`."""
        if tenant.position < seq:
            await self.fence(tenant)
            tenant.position = max(tenant.position, seq)

    async def fence(self, tenant: Tenant) -> None:
        """Wait until all messages that were published before this call are handed out; raises `Unavailable`."""
        try:
            async with asyncio.timeout(self._patience_s):
                await self.subscriber.of(tenant.id).fence()
                # Messages that have arrived may still wait for a resync.
                await self.resync.settled(tenant)
        except (RedisUnavailable, TimeoutError):
            raise Unavailable from None

    async def sweep(self) -> None:
        """Unsubscribe rooms that were not in use for `linger_s` seconds."""
        horizon = self._loop.time() - self._linger_s
        idle = iter(list(self._idle.items()))
        while some := list(islice(idle, SWEPT_AT_ONCE)):
            self._give_up(some, horizon)
            await asyncio.sleep(0)

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(self._sweep_s)
            await self.sweep()

    def _give_up(self, idle: Iterable[tuple[RoomState, float]], horizon: float) -> None:
        gone = []
        for room, since in idle:
            if room.in_use:
                del self._idle[room]
            elif since <= horizon and room.tenant.backlog is None:
                del self._idle[room]
                gone.append(room)
        self.subscriber.unsubscribe(room.channel for room in gone)
        for room in gone:
            self.hub.remove_room(room)

    # -- findings of the hub

    def listen_with(self, recipients: Recipients) -> None:
        """Set the part that gets control messages and the findings of resyncs."""
        self.resync.recipients = recipients

    def gap(self, room: RoomState) -> None:
        """Resync the room's tenant; its live messages wait meanwhile."""
        self.resync.start(room.tenant)

    def control(self, room: RoomState, message: wire.Message) -> None:
        """Pass on a message for the gateways themselves to its handler."""
        if self.resync.recipients is not None:
            self.resync.recipients.control(room, message)


def _pass_on(done: asyncio.Future[Snapshot], asking: asyncio.Future[Snapshot]) -> None:
    if asking.done():
        return
    error = done.exception()
    if error is not None:
        asking.set_exception(error)
    else:
        asking.set_result(done.result())
