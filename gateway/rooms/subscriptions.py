"""The rooms of this replica and their subscriptions.

Around the hub, which decides, this is the shell that subscribes and waits. A room that `subscribe` returned is
heard from that moment on, through every break of the connection: `Resync` makes good what was missed meanwhile.
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

# Rooms given up in a row, some 3 ms: who held 200,000 and leaves must not stop everybody for a second.
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
        """Connect the subscriber; raises what it raises."""
        await self.subscriber.start()
        self._sweeper = asyncio.create_task(self._keep_sweeping(), name="idle rooms")

    async def stop(self) -> None:
        """Disconnect; nothing is heard any more."""
        await cancelled(self._sweeper)
        await self.resync.stop()
        await self.subscriber.stop()

    # -- rooms

    async def subscribe(self, tenant: Tenant, names: Iterable[Room]) -> list[RoomState]:
        """Have rooms heard: give them once Redis has confirmed it, pinned until `release`.

        Raises `Unavailable` when that takes too long.
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
        """Unpin rooms that `subscribe` returned."""
        for room in rooms:
            room.pins -= 1
            self.note_idle(room)

    def note_idle(self, room: RoomState) -> None:
        """Look at a room that somebody left: it is given up some seconds after nobody needs it."""
        if not room.in_use:
            self._idle.setdefault(room, self._loop.time())

    async def place(self, tenant: Tenant) -> StreamPosition:
        """Return the tenant's place in its history, as of a moment after this call.

        Whoever asks in the same turn of the loop shares one question. Raises `Unavailable`.
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
        """Have everything up to `seq` handed out, and learn where rooms that were just opened stand.

        Only then may anybody enter them. A place that was asked for while the connection broke is worth nothing:
        what was published between it and the new subscription nobody would look for. Raises `Unavailable`.
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
        """Note a tenant's place: from there on these rooms, if just opened, are accounted for.

        Raises `Unavailable` when the place is in another epoch: first everyone has to be told.
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
        """Have everything up to `seq` handed out that will ever be; raises `Unavailable`."""
        if tenant.position < seq:
            await self.fence(tenant)
            tenant.position = max(tenant.position, seq)

    async def fence(self, tenant: Tenant) -> None:
        """Have everything handed out that was published before this call; raises `Unavailable`."""
        try:
            async with asyncio.timeout(self._patience_s):
                await self.subscriber.of(tenant.id).fence()
                # What has arrived may still wait for a resync.
                await self.resync.settled(tenant)
        except (RedisUnavailable, TimeoutError):
            raise Unavailable from None

    async def sweep(self) -> None:
        """Unsubscribe rooms that nobody has needed for `linger_s`."""
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

    # -- what the hub can't settle

    def listen_with(self, recipients: Recipients) -> None:
        """Say who is told what is found out."""
        self.resync.recipients = recipients

    def gap(self, room: RoomState) -> None:
        """Resync the room's tenant, whose messages wait meanwhile."""
        self.resync.start(room.tenant)

    def control(self, room: RoomState, message: wire.Message) -> None:
        """Pass a message for the gateways on."""
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
