"""A Redis Cluster as one thing to ask: each question goes to the node that has its key's slot.

A node that has it no more says so, or dies. Then the others are asked who has what, until every slot has somebody
who answers; meanwhile questions about other slots go on as ever. A question about a slot that is on its way from
one node to another waits until it has arrived, and those behind it for their turn: see `slots`.
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
from publisher.topology import Topology, slot_of

# Between two looks at the nodes.
PAUSE_S = 0.2
# How often the nodes are asked while one of them is away; otherwise only when one redirects us.
REFRESH_S = 0.5
ANSWER_S = 1.0

_log = structlog.get_logger("gateway.redis")


class ClusterSource:
    """The addresses of a cluster's nodes."""

    def __init__(self, address: Address, *, name: str, **options: Any) -> None:
        self.topology = Topology(address.nodes)
        self._address = address
        self._name = name
        self._options = options

    def at(self, node: Node) -> Source:
        """Return what makes connections to one node."""
        return Source(self._address.at(node), name=self._name, **self._options)

    async def look_again(self) -> None:
        """Ask the nodes who has what, one after the other until one answers; raises the last one's error."""
        trouble: BaseException = RedisUnavailable("the cluster has no nodes")
        for node in self.topology.to_ask():
            try:
                async with asyncio.timeout(ANSWER_S):
                    self.topology.learn(await self._ask(node), node)
            except OPEN_ERRORS as error:
                trouble = error
            else:
                return
        raise trouble

    async def _ask(self, node: Node) -> Any:
        connection = self.at(node).make_connection()
        try:
            await connection.connect()
            await connection.send_command("CLUSTER", "SLOTS")
            return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)


class ClusterCommands(Commands):
    """The counterpart of `Commands` for a cluster. Every question but those about scripts has to name a key."""

    publishing = "SPUBLISH"

    def __init__(self, cluster: ClusterSource, *, limits: Limits = LIMITS) -> None:
        # Nothing is asked over the connection of the base class: there is one for each node.
        super().__init__(cluster.at(Node("localhost", 0)), limits=limits)
        self.cluster = cluster
        self.attend()
        self._nodes: dict[Node, Commands] = {}
        self._waiting = WaitingSlots(self)
        self._stale = asyncio.Event()

    def attend(
        self, on_change: Callable[[], None] = lambda: None, in_use: Callable[[], Collection[Node]] = tuple
    ) -> None:
        """Set who is called when slots have changed hands, or a node may have come or gone.

        `in_use()` gives nodes to stay connected to, though they may have no slots any more.
        """
        self._on_change = on_change
        self._in_use = in_use

    async def start(self) -> None:
        """Find the nodes and connect to them; raises as `Commands` does where no node can be asked."""
        await self.cluster.look_again()
        owners = self.cluster.topology.owners
        errors = await asyncio.gather(*(self.at(node)._open() for node in owners), return_exceptions=True)
        if not owners:
            raise RedisUnavailable("no node of the cluster has a slot")
        if all(errors):
            raise next(error for error in errors if error is not None)
        for node in owners:
            self.at(node).begin()
        self._keeper = asyncio.create_task(self._keep(), name="redis cluster")

    async def stop(self) -> None:
        """Disconnect from all."""
        await cancelled(self._keeper)
        await self._waiting.stop()
        for commands in self._nodes.values():
            await commands.stop()

    def at(self, node: Node) -> Commands:
        """Return what asks one node."""
        commands = self._nodes.get(node)
        if commands is None:
            commands = self._nodes[node] = Commands(self.cluster.at(node), self._scripts, limits=self.limits)
            commands.publishing = self.publishing
            if self._keeper is not None:
                commands.begin()
        return commands

    @property
    def shards(self) -> list[Commands]:
        """Return what asks each shard."""
        return [self.at(node) for node in self.cluster.topology.owners]

    @property
    def is_up(self) -> bool:
        """Return whether most shards can be asked: for those of one that can't, another replica is no better."""
        shards = self.shards
        return 2 * sum(shard.is_up for shard in shards) > len(shards)

    @property
    def all_up(self) -> bool:
        """Return whether every shard can be asked."""
        return all(shard.is_up for shard in self.shards)

    @property
    def own_address(self) -> str:
        """The address that this machine has on the way to any node."""
        return next((found for shard in self._nodes.values() if (found := shard.own_address)), "")

    async def wait_up(self, timeout_s: float, key: str | None = None) -> None:
        """Wait until a key's shard can be asked, or every shard.

        Raises `RedisUnavailable` if that takes longer than `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not (self.all_up if key is None else self._can_ask(key)):  # noqa: ASYNC110  # of several
                    await asyncio.sleep(PAUSE_S)
        except TimeoutError:
            raise RedisUnavailable("a shard of Redis is away") from None

    def _can_ask(self, key: str) -> bool:
        owner = self.owner(slot_of(key))
        return owner is not None and self.at(owner).is_up

    # -- asking

    def ask(self, *command: str | bytes | float) -> asyncio.Future[Any]:
        """Send a command to the node that has its key; as `Commands.ask`, but a slot on its way is waited for."""
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
            raise RedisUnavailable("Redis has nobody for this slot")
        await self.at(owner)._reload(key)

    async def subscribers(self, channel: str) -> int:
        """Count the connections that listen to a channel."""
        return int((await self.ask("PUBSUB", "SHARDNUMSUB", channel))[1])

    # -- who has what

    def owner(self, slot: int) -> Node | None:
        """Return the node that has a slot, None where nobody said so yet."""
        return self.cluster.topology.owner(slot)

    def refresh(self) -> None:
        """Have the nodes asked soon."""
        self._stale.set()

    def heed(self, error: ReplyError, node: Node) -> bool:
        """Learn from what a node says instead of an answer; False where asking again would not help."""
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
        """Look who has what whenever somebody redirects us, and again and again while a shard is away."""
        while True:
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._stale.wait()
            except TimeoutError:
                if self.all_up:
                    continue
            self._stale.clear()
            before = self.cluster.topology.owners
            # None may answer: that is as with a single server that is away.
            with contextlib.suppress(*OPEN_ERRORS):
                await self.cluster.look_again()
            owners = self.cluster.topology.owners
            if owners != before:
                _log.warning("redis_shards_changed", shards=" ".join(sorted(map(str, owners))))
            self._on_change()
            await self._leave()
            await asyncio.sleep(PAUSE_S)

    async def _leave(self) -> None:
        """Disconnect from nodes that have no slot any more; all that have one are connected to."""
        owners = self.cluster.topology.owners
        for node in owners:
            self.at(node)
        if not self._waiting:  # for somebody who may not have a slot yet
            for node in [node for node in self._nodes if node not in owners and node not in self._in_use()]:
                await self._nodes.pop(node).stop()


def source_of(url: str, *, name: str, **options: Any) -> Source | ClusterSource:
    """Return where the Redis at a URL is; `options` are redis-py's. Raises `ValueError` for a malformed URL."""
    address = parse_address(url)
    if address.kind == "cluster":
        return ClusterSource(address, name=name, **options)
    return Source(url, name=name, **options)


def commands_of(source: Source | ClusterSource, limits: Limits = LIMITS) -> Commands:
    """Return what asks that Redis, one server or a cluster."""
    if isinstance(source, ClusterSource):
        return ClusterCommands(source, limits=limits)
    return Commands(source, limits=limits)


def _key(command: Command) -> str | bytes:
    """Return the key of a command, or its channel."""
    at = {"EVALSHA": 3, "PUBSUB": 2}.get(str(command[0]), 1)
    key = command[at]
    assert isinstance(key, (str, bytes)), "the command names no key"
    return key
