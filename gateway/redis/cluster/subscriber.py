"""Subscriptions in a Redis Cluster: one subscriber per shard, and channels that move between shards.

All channels of a tenant are in one slot, so one connection delivers all its events, in order. When a slot moves,
its channels follow, and the listener is told before and after. A shard that is down does not affect the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from gateway.core.clock import ServerClock
from gateway.core.histogram import Histogram
from gateway.redis.cluster.commands import ClusterCommands
from gateway.redis.commands import Commands
from gateway.redis.connection import RedisUnavailable, ReplyError, Rest
from gateway.redis.keys import probe_channels_by_slot
from gateway.redis.probe import ROUND_TRIP_S
from gateway.redis.subscriber import Subscriber
from gateway.tasks import cancelled
from publisher import wire
from publisher.address import Node
from publisher.topology import slot_of

# Longest time that a move waits for the commands connection of the new shard.
PATIENCE_S = 5.0
# Pause between two attempts to move a slot.
RETRY_S = 0.05


class Listener(Protocol):
    """Port: gets notice of channels that may miss messages, and of their return (`Resync`)."""

    def lost(self, subscriber: Subscriber) -> None:
        """Note that the connection to a shard is down, so its channels may miss messages."""

    async def back(self, subscriber: Subscriber) -> None:
        """Resync a shard after all its channels are confirmed; raises `RedisUnavailable` if it is lost again."""

    def moving(self, channels: Iterable[bytes]) -> None:
        """Note that channels move to another shard: they may miss messages until `moved` or `back`."""

    async def moved(self, channels: Iterable[bytes]) -> None:
        """Resync channels that the new shard has confirmed."""

    def gone(self, subscriber: Subscriber) -> None:
        """Forget a shard that was removed for good."""


class ShardSubscription:
    """One shard, as its subscriber sees it; implements `subscriber.Shard`."""

    def __init__(self, front: ClusterSubscriber, node: Node) -> None:
        self.round_trip = front.round_trip
        self._front = front
        self._node = node

    def probe_channel(self) -> bytes:
        """Return a new channel name in a slot of this node, or in any slot if the node has none."""
        topology = self._front.commands.cluster.topology
        has_slots = self._node in topology.owners
        names = probe_channels_by_slot()
        return next(name for name in names if not has_slots or topology.owner(slot_of(name)) == self._node)

    def batches(self, channels: Iterable[bytes]) -> list[list[bytes]]:
        """Return the channels grouped by slot."""
        groups: dict[int, list[bytes]] = {}
        for channel in channels:
            groups.setdefault(slot_of(channel), []).append(channel)
        return list(groups.values())

    def gave_up(self, channels: list[bytes]) -> None:
        """Move the channels to the node that has their slot now."""
        self._front.gave_up(self._node, channels)

    def heed(self, error: ReplyError) -> bool:
        """Learn from the server's error; return whether it was MOVED, which concerns one slot only."""
        return self._front.commands.heed(error, self._node) and str(error).startswith("MOVED")


class Slot:
    """A slot's channels, each with a future that Redis' confirmation ends, and the subscriber that has them."""

    def __init__(self) -> None:
        self.channels: dict[bytes, asyncio.Future[None]] = {}
        self.subscriber: Subscriber | None = None
        """None while no node is known to have the slot."""
        self.move: asyncio.Task[None] | None = None


class ClusterSubscriber:
    """Does for a cluster as `Subscriber` for one server: one subscriber for each shard."""

    def __init__(
        self,
        commands: ClusterCommands,
        *,
        on_message: Callable[[bytes, bytes], Rest | None],
        listener: Listener,
        clock: ServerClock,
    ) -> None:
        self.commands = commands
        self.clock = clock
        """One clock for all shards: latencies are wrong by the difference between the shards' clocks."""
        self.round_trip = Histogram(*ROUND_TRIP_S)
        self._on_message = on_message
        self._listener = listener
        self._subscribers: dict[Node, Subscriber] = {}
        self._slots: dict[int, Slot] = {}
        self._past_reconnects = self._past_deaf = 0
        self._ending: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        nobody = Node("nobody", 0)
        self._nowhere = self._new_subscriber(nobody, Commands(commands.cluster.at(nobody), limits=commands.limits))
        """Stands for a subscriber of slots without a node; never connects."""

    async def start(self) -> None:
        """Connect to every shard; raises an error only if no shard can be reached."""
        nodes = self.commands.cluster.topology.owners
        subscribers = {node: self._new_subscriber(node, self.commands.at(node)) for node in nodes}
        self._listener.lost(self._nowhere)
        errors = await asyncio.gather(
            *(subscriber.start() for subscriber in subscribers.values()), return_exceptions=True
        )
        if all(errors):
            raise next(error for error in errors if error is not None)
        self._subscribers = subscribers
        for subscriber, error in zip(subscribers.values(), errors, strict=True):
            if error is not None:
                self._listener.lost(subscriber)
                subscriber.start_reconnecting()
        self.commands.attend(self._follow, self._subscribers.keys)

    async def stop(self) -> None:
        """Disconnect from all shards; waiting subscriptions are cancelled."""
        self.commands.attend()
        await cancelled(*(slot.move for slot in self._slots.values()), *self._ending)
        for subscriber in self._subscribers.values():
            await subscriber.stop()
        for slot in self._slots.values():
            for future in slot.channels.values():
                future.cancel()

    def __len__(self) -> int:
        return sum(len(slot.channels) for slot in self._slots.values())

    @property
    def hears(self) -> bool:
        """Return whether more than half of the shards are heard; see `ClusterCommands.is_up`."""
        return 2 * sum(subscriber.hears for subscriber in self._subscribers.values()) > len(self._subscribers)

    @property
    def hears_all(self) -> bool:
        """Return whether the subscriber of every shard receives all messages."""
        return all(subscriber.hears for subscriber in self._subscribers.values())

    @property
    def reconnects(self) -> int:
        """Return the number of reconnects, including those of shards that are gone."""
        return self._past_reconnects + sum(subscriber.reconnects for subscriber in self._subscribers.values())

    @property
    def deaf(self) -> int:
        """Return the number of probes that did not arrive, including those of shards that are gone."""
        return self._past_deaf + sum(subscriber.deaf for subscriber in self._subscribers.values())

    def of(self, tenant: str) -> Subscriber:
        """Return the subscriber for the shard that has a tenant's slot."""
        number = slot_of(wire.meta_key(tenant))
        slot = self._slots.get(number)
        subscriber = slot.subscriber if slot is not None else self._subscriber_of(number)
        return self._nowhere if subscriber is None else subscriber  # `or` would not do: an empty one is false

    # -- channels

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        """Subscribe to a channel; the future is done when a shard has confirmed it."""
        number = slot_of(channel)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = Slot()
            slot.subscriber = self._subscriber_of(number)
        future = slot.channels.get(channel)
        if future is None:
            subscriber = slot.subscriber
            future = slot.channels[channel] = (
                self._loop.create_future() if subscriber is None else subscriber.subscribe(channel)
            )
        return future

    def unsubscribe(self, channels: Iterable[bytes]) -> None:
        """Unsubscribe from channels; those that are not subscribed are ignored."""
        for channel in channels:
            number = slot_of(channel)
            slot = self._slots.get(number)
            if slot is None or slot.channels.pop(channel, None) is None:
                continue
            if slot.subscriber is not None:
                slot.subscriber.unsubscribe([channel])
            if not slot.channels and slot.move is None:
                del self._slots[number]

    # -- slots

    def gave_up(self, node: Node, channels: list[bytes]) -> None:
        """Move the slots of subscriptions that a node has ended: another node has them now, or will soon."""
        subscriber = self._subscribers.get(node)
        for number in {slot_of(channel) for channel in channels}:
            slot = self._slots.get(number)
            if slot is not None and slot.subscriber is subscriber:
                self._begin_move(number, slot)
        self.commands.refresh()

    def _follow(self) -> None:
        """Move each slot to the subscriber of its owner; stop subscribers of nodes without slots."""
        topology = self.commands.cluster.topology
        for number, slot in list(self._slots.items()):
            owner = topology.owner(number)
            if (
                owner is not None
                and slot.move is None
                and slot.subscriber is not self._subscribers.get(owner, self._nowhere)
            ):
                self._begin_move(number, slot)
        in_use = {slot.subscriber for slot in self._slots.values()}
        for node, subscriber in list(self._subscribers.items()):
            if node not in topology.owners and subscriber not in in_use:
                self._end(node)
        for node in topology.owners:
            self._subscriber_at(node)

    def _begin_move(self, number: int, slot: Slot) -> None:
        if slot.move is None:
            self._listener.moving(slot.channels)
            slot.move = asyncio.create_task(self._move(number, slot), name=f"slot {number} moves")

    async def _move(self, number: int, slot: Slot) -> None:
        """Subscribe to a slot's channels at its owner, and repeat until that succeeds."""
        try:
            while not await self._take_over(number, slot):  # noqa: ASYNC110  # it is the server that we wait for
                await asyncio.sleep(RETRY_S)
        finally:
            slot.move = None
        if not slot.channels:
            self._slots.pop(number, None)
        elif slot.subscriber is not None and slot.subscriber.is_there:
            await self._listener.moved(slot.channels)
        self._follow()

    async def _take_over(self, number: int, slot: Slot) -> bool:
        """Try the move once; return whether it is done, or left to the new subscriber's reconnect."""
        if slot.subscriber is not None:
            slot.subscriber.unsubscribe(slot.channels)
        slot.subscriber = self._subscriber_of(number)
        if slot.subscriber is None:
            self.commands.refresh()
            return False
        subscriber, asked = slot.subscriber, dict(slot.channels)
        subscriber.adopt(asked)
        if not subscriber.is_there:
            return True
        try:
            await subscriber.fence()
            await subscriber.commands.wait_up(PATIENCE_S)
        except RedisUnavailable:
            return True
        # A channel that was answered with MOVED is not confirmed.
        return self._subscriber_of(number) is subscriber and all(
            subscriber.has(each) for each in asked if each in slot.channels
        )

    def _subscriber_of(self, number: int) -> Subscriber | None:
        owner = self.commands.cluster.topology.owner(number)
        return None if owner is None else self._subscriber_at(owner)

    # -- nodes

    def _subscriber_at(self, node: Node) -> Subscriber:
        subscriber = self._subscribers.get(node)
        if subscriber is None:
            subscriber = self._subscribers[node] = self._new_subscriber(node, self.commands.at(node))
            self._listener.lost(subscriber)
            subscriber.start_reconnecting()
        return subscriber

    def _new_subscriber(self, node: Node, commands: Commands) -> Subscriber:
        subscriber: Subscriber
        subscriber = Subscriber(
            self.commands.cluster.at(node),
            commands,
            on_message=self._on_message,
            on_lost=lambda: self._listener.lost(subscriber),
            on_back=lambda: self._listener.back(subscriber),
            clock=self.clock,
            shard=ShardSubscription(self, node),
        )
        return subscriber

    def _end(self, node: Node) -> None:
        subscriber = self._subscribers.pop(node)
        self._past_reconnects += subscriber.reconnects
        self._past_deaf += subscriber.deaf
        self._listener.gone(subscriber)
        task = asyncio.create_task(subscriber.stop(), name="a shard is gone")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
