"""The relay: keeps the rooms of this replica heard, and makes good what was missed.

Around the hub, which decides, this is the shell that subscribes, reads logs and waits. Three promises:
a room that `open` gave is heard from that moment on; after any break of the connection, everything that a
room's log still has is handed out before anything newer; what the log has no more is told to those it was for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

import structlog

from gateway.bus.commands import Commands
from gateway.bus.history import History, Snapshot
from gateway.bus.link import LinkDown, ReplyError, Rest, Source
from gateway.bus.sessions import Place
from gateway.bus.subscriber import Subscriber
from gateway.core.history import Entry, Log
from gateway.core.hub import Hub, merge
from gateway.core.rooms import RoomState, Tenant
from gateway.errors import Unavailable
from publisher import wire
from publisher.offsets import SEQ_PER_S
from publisher.rooms import Room

# Rooms read in one script call, which holds Redis up for that long.
READ_BATCH = 100
# Events handed out in one go during a resync.
DISPATCH_BATCH = 200
# How long a connect or join waits for Redis before the client is told to come back.
PATIENCE_S = 5.0
SWEEP_S = 1.0
# After a failover the new master's clock may be behind the old one's.
CLOCK_MARGIN = 5 * SEQ_PER_S

_log = structlog.get_logger("gateway.relay")


class Audience(Protocol):
    """Who has to be told what the relay finds out: the socket layer."""

    def control(self, room: RoomState, message: wire.Message) -> None:
        """A message for the gateways came on a user's room."""

    def hole(self, room: RoomState) -> None:
        """Something for this room is gone for good."""

    def history_lost(self, tenant: Tenant, *, missed: bool) -> None:
        """Redis lost a tenant's history; `missed` when events may have gone with it unheard."""

    async def recheck(self, tenant: Tenant) -> None:
        """Control messages may have been missed: look up what they would have said."""


class Relay:
    """The rooms of one replica, and their connection to Redis."""

    def __init__(self, source: Source, commands: Commands, history: History, *, linger_s: float) -> None:
        self.hub = Hub(self)
        self.audience: Audience | None = None
        self.resyncs = 0
        self.subscriber = Subscriber(
            source, commands, on_message=self._receive, on_lost=self._lost, on_back=self._back
        )
        self._commands = commands
        self._history = history
        self._linger_s = linger_s
        self._deaf = False
        self._unsettled: dict[Tenant, list[asyncio.Future[None]]] = {}
        self._idle: dict[RoomState, float] = {}
        self._asking: dict[Tenant, asyncio.Future[Snapshot]] = {}
        self._resyncing: dict[Tenant, asyncio.Task[None]] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Connect the subscriber; raises what it raises."""
        await self.subscriber.start()
        self._sweeper = asyncio.create_task(self._sweep(), name="idle rooms")

    async def stop(self) -> None:
        """Disconnect; nothing is heard any more."""
        tasks = [*self._resyncing.values(), *([self._sweeper] if self._sweeper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.subscriber.stop()

    # -- rooms

    async def open(self, tenant: Tenant, names: Iterable[Room]) -> list[RoomState]:
        """Have rooms heard: give them once Redis has confirmed it, pinned until `release`.

        Raises `Unavailable` when that takes too long.
        """
        if self._deaf and tenant.backlog is None:
            tenant.backlog = []
        rooms = [self.hub.room(tenant, name) for name in names]
        for room in rooms:
            room.pins += 1
        waiting = [f for room in rooms if not (f := self.subscriber.subscribe(room.channel)).done()]
        if waiting or tenant.backlog is not None:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    for future in waiting:
                        await asyncio.shield(future)
                    await self._settled(tenant)
            except BaseException as error:
                self.release(rooms)
                if isinstance(error, TimeoutError):
                    raise Unavailable from None
                raise
        return rooms

    def release(self, rooms: Iterable[RoomState]) -> None:
        """Unpin rooms that `open` gave."""
        for room in rooms:
            room.pins -= 1
            self.note_idle(room)

    def note_idle(self, room: RoomState) -> None:
        """Look at a room that somebody left: it is given up some seconds after nobody needs it."""
        if not room.in_use:
            self._idle.setdefault(room, self._loop.time())

    async def place(self, tenant: Tenant) -> Place:
        """Give the tenant's place in its history, as of a moment after this call.

        Whoever asks in the same turn of the loop shares one question. Raises `Unavailable`.
        """
        asking = self._asking.get(tenant)
        if asking is None:
            asking = self._asking[tenant] = self._loop.create_future()
            self._loop.call_soon(self._ask_place, tenant, asking)
        try:
            snapshot = await asyncio.shield(asking)
        except (LinkDown, ReplyError):
            raise Unavailable from None
        return Place(snapshot.epoch, snapshot.seq)

    def _ask_place(self, tenant: Tenant, asking: asyncio.Future[Snapshot]) -> None:
        del self._asking[tenant]
        task = asyncio.ensure_future(self._history.read(tenant.id, {}))
        task.add_done_callback(lambda done: _pass_on(done, asking))

    def learn(self, tenant: Tenant, place: Place, rooms: Iterable[RoomState]) -> None:
        """Note a tenant's place: from there on these rooms, if just opened, are accounted for."""
        if tenant.epoch is None:
            tenant.epoch = place.epoch
        elif tenant.epoch != place.epoch and tenant.backlog is None:
            tenant.epoch = place.epoch
            self.epoch_changed(tenant, place.epoch)
        for room in rooms:
            if room.last_seq is None:
                room.last_seq = place.seq

    async def catch_up(self, tenant: Tenant, seq: int) -> None:
        """Have everything up to `seq` handed out that will ever be; raises `Unavailable`."""
        if tenant.position < seq:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self.subscriber.fence()
                    # What has arrived may still wait for a resync.
                    await self._settled(tenant)
            except (LinkDown, TimeoutError):
                raise Unavailable from None
            tenant.position = max(tenant.position, seq)

    async def _settled(self, tenant: Tenant) -> None:
        """Wait until no resync of this tenant is under way."""
        while tenant.backlog is not None:
            waiter = self._loop.create_future()
            self._unsettled.setdefault(tenant, []).append(waiter)
            await waiter

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            horizon = self._loop.time() - self._linger_s
            gone = []
            for room, since in list(self._idle.items()):
                if room.in_use:
                    del self._idle[room]
                elif since <= horizon and room.tenant.backlog is None:
                    del self._idle[room]
                    gone.append(room)
            self.subscriber.unsubscribe(room.channel for room in gone)
            for room in gone:
                self.hub.forget(room)

    # -- what the hub can't settle

    def gap(self, room: RoomState) -> None:
        """Resync the room's tenant, whose messages wait meanwhile."""
        self._begin_resync(room.tenant)

    def epoch_changed(self, tenant: Tenant, epoch: str) -> None:
        """The history is gone, but this connection heard all along: nothing was missed."""
        if self.audience is not None:
            self.audience.history_lost(tenant, missed=False)

    def control(self, room: RoomState, message: wire.Message) -> None:
        """Pass a message for the gateways on."""
        if self.audience is not None:
            self.audience.control(room, message)

    # -- the connection breaks, and comes back

    def _receive(self, channel: bytes, raw: bytes) -> Rest | None:
        return self.hub.receive(channel, raw)

    def _lost(self) -> None:
        self._deaf = True
        for tenant in self.hub.tenants.values():
            if tenant.backlog is None:
                tenant.backlog = []

    async def _back(self) -> None:
        await self._commands.wait_up(PATIENCE_S)
        self._deaf = False
        for tenant in list(self.hub.tenants.values()):
            await self._resync(tenant)
            if self._deaf:
                raise LinkDown("the connection to Redis broke again")

    def _begin_resync(self, tenant: Tenant) -> None:
        if tenant not in self._resyncing and not self._deaf:
            task = self._resyncing[tenant] = asyncio.create_task(self._try_resync(tenant))
            task.add_done_callback(lambda _: self._resyncing.pop(tenant, None))

    async def _try_resync(self, tenant: Tenant) -> None:
        try:
            await self._resync(tenant)
        except (LinkDown, ReplyError) as error:
            _log.warning("redis_resync_failed", reason=str(error))
            self.subscriber.drop()

    async def _resync(self, tenant: Tenant) -> None:
        """Read what the tenant's rooms have that was not handed out here, and hand it out in order."""
        holes: set[RoomState] = set()
        events = 0
        tenant.overrun = True
        while tenant.overrun:
            tenant.overrun = False
            rooms = [room for room in tenant.rooms.values() if room.last_seq is not None]
            epoch, logs = await self._read(tenant, rooms)
            for room, log in logs.items():
                if not log.entries:
                    room.last_seq = log.until
            if tenant.epoch is not None and epoch != tenant.epoch:
                await self._restart(tenant, epoch, rooms)
                return
            missed = [(room, _message(epoch, entry)) for room, log in logs.items() for entry in log.entries]
            holes.update(room for room, log in logs.items() if not log.complete)
            events += len(missed)
            await self._hand_out(tenant, missed)
        self.resyncs += 1
        _log.info("tenant_resynced", tenant=tenant.id, rooms=len(rooms), events=events, holes=len(holes))
        if self.audience is not None:
            for room in holes:
                self.audience.hole(room)
            await self.audience.recheck(tenant)

    async def _read(self, tenant: Tenant, rooms: list[RoomState]) -> tuple[str, dict[RoomState, Log]]:
        epoch = ""
        logs: dict[RoomState, Log] = {}
        for i in range(0, max(len(rooms), 1), READ_BATCH):
            batch = {room.name: room for room in rooms[i : i + READ_BATCH]}
            snapshot = await self._history.read(
                tenant.id, {name: self._heard_until(room) for name, room in batch.items()}
            )
            epoch = snapshot.epoch
            logs |= {batch[name]: log for name, log in snapshot.logs.items()}
        return epoch, logs

    def _heard_until(self, room: RoomState) -> int:
        """Give the seq up to which nothing of a room can have been missed: a silent room was heard, too."""
        return max(room.last_seq or 0, self.subscriber.heard_until - CLOCK_MARGIN)

    async def _restart(self, tenant: Tenant, epoch: str, rooms: list[RoomState]) -> None:
        """Go on in a new epoch: what was missed is unknown, and everyone of the tenant is told so."""
        place = await self._history.read(tenant.id, {})
        tenant.epoch = epoch
        for room in rooms:
            room.last_seq = place.seq
        await self._hand_out(tenant, [])
        self.hub.stats.epochs += 1
        if self.audience is not None:
            self.audience.history_lost(tenant, missed=True)

    async def _hand_out(self, tenant: Tenant, missed: list[tuple[RoomState, wire.Message]]) -> None:
        """Dispatch what was read together with what came meanwhile, until nothing waits any more."""
        while True:
            live, tenant.backlog = tenant.backlog or [], []
            due = merge(live, missed)
            missed = []
            if not due:
                if not self._deaf and not tenant.overrun:
                    self._settle(tenant)
                return
            for i, (room, message) in enumerate(due):
                rest = self.hub.dispatch(room, message)
                while rest is not None:
                    await asyncio.sleep(0)
                    rest = rest()
                if i % DISPATCH_BATCH == DISPATCH_BATCH - 1:
                    await asyncio.sleep(0)

    def _settle(self, tenant: Tenant) -> None:
        """Go on live with a tenant."""
        tenant.backlog = None
        for waiter in self._unsettled.pop(tenant, ()):
            if not waiter.done():
                waiter.set_result(None)


def _message(epoch: str, entry: Entry) -> wire.Message:
    offset = f"{epoch}-{entry.seq}".encode()
    return wire.Message(offset, entry.seq, entry.previous, wire.Flag.RECOVERABLE, entry.skip_sid, entry.body)


def _pass_on(done: asyncio.Future[Snapshot], asking: asyncio.Future[Snapshot]) -> None:
    if asking.done():
        return
    error = done.exception()
    if error is not None:
        asking.set_exception(error)
    else:
        asking.set_result(done.result())
