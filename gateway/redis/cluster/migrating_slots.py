"""Commands for a slot that moves between nodes: sent again, in order, until the slot has arrived."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple, Protocol

from gateway.redis.commands import Commands
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.tasks import cancelled
from publisher.address import Node

# Longest time that a command waits for a node that answers for its slot.
RETRY_S = 5.0
FIRST_PAUSE_S = 0.01
LAST_PAUSE_S = 0.2

Command = tuple[str | bytes | float, ...]


class Nodes(Protocol):
    """Port: the nodes of a cluster (`ClusterCommands`)."""

    def owner(self, slot: int) -> Node | None:
        """Return the node that has a slot; None while unknown."""

    def at(self, node: Node) -> Commands:
        """Return the commands connection of one node."""

    def heed(self, error: ReplyError, node: Node) -> bool:
        """Learn from a node's error; return whether asking again may help."""

    def refresh(self) -> None:
        """Soon ask the cluster which node has which slot."""


class Question(NamedTuple):
    """A command, the future of its reply, and the loop time until which it may wait."""

    command: Command
    answer: asyncio.Future[Any]
    until: float


class WaitingSlots:
    """The slots that are moving, each with a queue of commands: new commands for such a slot queue, too."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._waiting: dict[int, deque[Question]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Wait no longer; each command that waits for its slot gets `RedisUnavailable`."""
        await cancelled(*self._tasks)

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, slot: int) -> bool:
        return slot in self._waiting

    def question(self, command: Command) -> Question:
        """Return a question for a command, which may wait for `RETRY_S` from now."""
        return Question(command, self._loop.create_future(), self._loop.time() + RETRY_S)

    def wait(self, slot: int, question: Question) -> None:
        """Queue a question, to be asked again behind earlier ones of its slot."""
        if slot in self._waiting:
            self._waiting[slot].append(question)
            return
        self._waiting[slot] = deque((question,))
        task = asyncio.create_task(self._ask_again(slot), name=f"slot {slot}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_again(self, slot: int) -> None:
        waiting = self._waiting[slot]
        try:
            while waiting:
                command, answer, until = waiting[0]
                try:
                    result = await self._insist(slot, command, until)
                except (RedisUnavailable, ReplyError) as error:
                    if not answer.done():
                        answer.set_exception(error)
                else:
                    if not answer.done():
                        answer.set_result(result)
                waiting.popleft()
        finally:
            del self._waiting[slot]
            for _, answer, _ in waiting:
                if not answer.done():
                    answer.set_exception(RedisUnavailable("the connections to Redis are closed"))

    async def _insist(self, slot: int, command: Command, until: float) -> Any:
        """Ask until a node answers; raises `RedisUnavailable` if none does until loop time `until`."""
        pause_s, asking = FIRST_PAUSE_S, None
        trouble = RedisUnavailable("no node of the cluster has this slot")
        while self._loop.time() < until:
            node = asking or self._nodes.owner(slot)
            asked = None
            if node is not None:
                commands = self._nodes.at(node)
                if asking is not None:
                    commands.ask("ASKING").add_done_callback(lambda done: done.exception())
                asked = commands.ask(*command)
            asking = None
            try:
                if asked is not None:
                    return await asked
            except ReplyError as error:
                if node is None or not self._nodes.heed(error, node):
                    raise
                asking = _target(error, node)
            except RedisUnavailable as error:
                if self._nodes.owner(slot) == node:
                    raise
                trouble = error
            self._nodes.refresh()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)
        raise trouble


def _target(error: ReplyError, node: Node) -> Node | None:
    """Return the node that an ASK error names; None for any other error."""
    code, *words = str(error).split(" ")
    if code != "ASK":
        return None
    host, _, port = words[1].rpartition(":")
    return Node(host.strip("[]") or node.host, int(port))
