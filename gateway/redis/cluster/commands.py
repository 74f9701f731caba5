"""Commands for a Redis Cluster: each command goes to the node that has the slot of its key.

If a node redirects us or dies, the nodes are asked for the slot table until every slot has a node that answers.
Commands for other slots are not affected. A command for a slot that moves between nodes waits until the move is
done, and later commands for the slot wait behind it: see `migrating_slots`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Any

import structlog

from gateway.core.limits import LIMITS, Limits
from gateway.redis.cluster.migrating_slots import Command, Question, WaitingSlots
from gateway.redis.commands import OPEN_ERRORS, Commands
from gateway.redis.connection import RedisUnavailable, ReplyError, Source
from gateway.tasks import cancelled
from publisher.address import Address, Node, parse_address
from publisher.aio.servers import ask_for_slots
from publisher.topology import Topology, slot_of

# Seconds between two requests for the slot table, or two checks in `wait_up`.
PAUSE_S = 0.2
# Interval of requests for the slot table while a shard is down; otherwise only redirections cause one.
REFRESH_S = 0.5
ANSWER_S = 1.0

_log = structlog.get_logger("gateway.redis")


class ClusterSource:
    """The addresses and the slot table of a cluster."""

    def __init__(self, address: Address, *, name: str, **options: Any) -> None:
        self.topology = Topology(address.nodes)
        self._address = address
        self._name = name
        self._options = options

    def at(self, node: Node) -> Source:
        """Return the source of connections to one node."""
        return Source(self._address.at(node), name=self._name, **self._options)

    async def look_again(self) -> None:
        """Read the slot table from the first node that answers; raises the error of the last node if none does."""
        error = await ask_for_slots(self.topology, lambda node: self.at(node).make_connection(), ANSWER_S)
        if error is not None:
            raise error


class ClusterCommands(Commands):
    """`Commands` for a cluster. Every command must name a key, or a channel."""

    publishing = "SPUBLISH"

    def __init__(self, cluster: ClusterSource, *, limits: Limits = LIMITS) -> None:
        # The connection of the base class is never opened: each node has one of its own.
        super().__init__(cluster.at(Node("localhost", 0)), limits=limits)
        self.cluster = cluster
        self.attend()
        self._nodes: dict[Node, Commands] = {}
        self._waiting = WaitingSlots(self)
        self._stale = asyncio.Event()

    def attend(
        self, on_change: Callable[[], None] = lambda: None, in_use: Callable[[], Collection[Node]] = tuple
    ) -> None:
        """Set the callback for a slot table that may have changed: moved slots, new or lost nodes.

        `in_use()` returns nodes to stay connected to, even without slots.
        """
        self._on_change = on_change
        self._in_use = in_use

    async def start(self) -> None:
        """Find the nodes and connect to them; raises an error only if no node can be reached."""
        await self.cluster.look_again()
        owners = self.cluster.topology.owners
        errors = await asyncio.gather(*(self.at(node)._open() for node in owners), return_exceptions=True)
        if not owners:
            raise RedisUnavailable("no node of the cluster has any slots: assign them first")
        if all(errors):
            raise next(error for error in errors if error is not None)
        for node in owners:
            self.at(node).start_reconnecting()
        self._keeper = asyncio.create_task(self._keep(), name="redis cluster")

    async def stop(self) -> None:
        """Disconnect from all nodes."""
        await cancelled(self._keeper)
        await self._waiting.stop()
        for commands in self._nodes.values():
            await commands.stop()

    def at(self, node: Node) -> Commands:
        """Return the commands connection of one node; make it if there is none."""
        commands = self._nodes.get(node)
        if commands is None:
            commands = self._nodes[node] = Commands(self.cluster.at(node), self._scripts, limits=self.limits)
            commands.publishing = self.publishing
            if self._keeper is not None:
                commands.start_reconnecting()
        return commands

    @property
    def shards(self) -> list[Commands]:
        """Return the commands connection of each shard's master."""
        return [self.at(node) for node in self.cluster.topology.owners]

    @property
    def is_up(self) -> bool:
        """Return whether more than half of the shards can be asked: the others are down for all replicas."""
        shards = self.shards
        return 2 * sum(shard.is_up for shard in shards) > len(shards)

    @property
    def all_up(self) -> bool:
        """Return whether every shard can be asked."""
        return all(shard.is_up for shard in self.shards)

    @property
    def own_address(self) -> str:
        """The local IP address of a connection to any node; empty without one."""
        return next((found for shard in self._nodes.values() if (found := shard.own_address)), "")

    async def wait_up(self, timeout_s: float, key: str | None = None) -> None:
        """Wait until the shard of `key`, or every shard, can be asked; raises `RedisUnavailable` on timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                while not (self.all_up if key is None else self._can_ask(key)):  # noqa: ASYNC110  # of several
                    await asyncio.sleep(PAUSE_S)
        except TimeoutError:
            raise RedisUnavailable("a shard of Redis is unavailable") from None

    def _can_ask(self, key: str) -> bool:
        owner = self.owner(slot_of(key))
        return owner is not None and self.at(owner).is_up

    # -- commands

    def ask(self, *command: str | bytes | float) -> asyncio.Future[Any]:
        """Send a command to the node that has its key; like `Commands.ask`, but waits for a slot that moves."""
        slot = slot_of(_key(command))
        question = self._waiting.question(command)
        owner = self.owner(slot)
        if owner is None or slot in self._waiting:
            self._waiting.wait(slot, question)
            return question.answer
        asked = self.at(owner).ask(*command)
        asked.add_done_callback(lambda done: self._answered(done, slot, question, owner))
        return question.answer

    def _answered(self, asked: asyncio.Future[Any], slot: int, question: Question, node: Node) -> None:
        error = asked.exception()
        if question.answer.done():
            return
        if isinstance(error, ReplyError) and self.heed(error, node):
            self._waiting.wait(slot, question)
        elif error is not None:
            question.answer.set_exception(error)
        else:
            question.answer.set_result(asked.result())

    async def _reload(self, key: str) -> None:
        owner = self.owner(slot_of(key))
        if owner is None:
            raise RedisUnavailable("no node of the cluster has this slot")
        await self.at(owner)._reload(key)

    async def subscribers(self, channel: str) -> int:
        """Return the number of connections that are subscribed to a channel."""
        return int((await self.ask("PUBSUB", "SHARDNUMSUB", channel))[1])

    # -- the slot table

    def owner(self, slot: int) -> Node | None:
        """Return the node that has a slot; None while unknown."""
        return self.cluster.topology.owner(slot)

    def refresh(self) -> None:
        """Soon ask the cluster which node has which slot."""
        self._stale.set()

    def heed(self, error: ReplyError, node: Node) -> bool:
        """Learn from a node's error; return whether asking again may help."""
        code, _, rest = str(error).partition(" ")
        if code == "MOVED":
            slot, _, where = rest.partition(" ")
            host, _, port = where.rpartition(":")
            self.cluster.topology.moved(int(slot), host.strip("[]"), int(port), node)
            self._on_change()
        elif code not in ("ASK", "TRYAGAIN", "CLUSTERDOWN") and "non local key" not in rest:
            return False
        self._stale.set()
        return True

    async def _keep(self) -> None:
        """Refresh the slot table after each redirection, and every `REFRESH_S` while a shard is down."""
        while True:
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._stale.wait()
            except TimeoutError:
                if self.all_up:
                    continue
            self._stale.clear()
            before = self.cluster.topology.owners
            # If no node answers, keep the old table.
            with contextlib.suppress(*OPEN_ERRORS):
                await self.cluster.look_again()
            owners = self.cluster.topology.owners
            if owners != before:
                _log.warning("redis_shards_changed", shards=" ".join(sorted(map(str, owners))))
            self._on_change()
            await self._leave()
            await asyncio.sleep(PAUSE_S)

    async def _leave(self) -> None:
        """Connect to all nodes with slots; disconnect from nodes without, except while commands wait."""
        owners = self.cluster.topology.owners
        for node in owners:
            self.at(node)
        if not self._waiting:  # they may wait for a node that gets its slot later
            for node in [node for node in self._nodes if node not in owners and node not in self._in_use()]:
                await self._nodes.pop(node).stop()


def source_of(url: str, *, name: str, **options: Any) -> Source | ClusterSource:
    """Return the source for a Redis URL; `options` are redis-py's. Raises `ValueError` for a malformed URL."""
    address = parse_address(url)
    if address.kind == "cluster":
        return ClusterSource(address, name=name, **options)
    return Source(url, name=name, **options)


def commands_of(source: Source | ClusterSource, limits: Limits = LIMITS) -> Commands:
    """Return the commands for a source, of one server or a cluster."""
    if isinstance(source, ClusterSource):
        return ClusterCommands(source, limits=limits)
    return Commands(source, limits=limits)


def _key(command: Command) -> str | bytes:
    """Return the first key of a command, or its channel."""
    at = {"EVALSHA": 3, "PUBSUB": 2}.get(str(command[0]), 1)
    key = command[at]
    assert isinstance(key, (str, bytes)), "the command names no key"
    return key
