"""The sender of a lane's events from asyncio, and the servers that it sends them to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError, ResponseError

from publisher.address import Address, Node, client_of, sentinels_of
from publisher.buffer import BROKEN, Buffer, Item
from publisher.calls import calls_of, results_of
from publisher.lanes import command_of, heed, slot_of_item
from publisher.scripts import SCRIPTS
from publisher.sending import (
    REFRESH_TIMEOUT_S,
    REPLICAS_TIMEOUT_MS,
    Sending,
    SendWindow,
    check_replicas,
    note_drop,
    note_retry,
    unowned,
)
from publisher.topology import Topology, slot_of

_log = logging.getLogger("publisher")


class AsyncServers:
    """Connections to the one server, to the master that Sentinels name, or to the nodes of a cluster."""

    topology: Topology | None = None

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._clients: dict[Node | None, redis.asyncio.Redis] = {None: client}

    @classmethod
    def at(cls, address: Address, options: Mapping[str, Any]) -> AsyncServers:
        """Find them from a URL; no connection is made yet."""
        if address.kind == "cluster":
            return AsyncCluster(address, options)
        return cls(client_of(redis.asyncio, address, options))

    async def owner(self, key: str) -> Node | None:
        """Return the node that takes what is about a key."""
        return None

    async def look_again(self) -> None:
        """Find out which node has what by now."""

    def client(self, node: Node | None) -> redis.asyncio.Redis:
        """Return redis-py's client of a node."""
        return self._clients[node]

    def make_connection(self, node: Node | None) -> Any:
        """Return a fresh connection, not connected yet."""
        return self.client(node).connection_pool.make_connection()  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        """Disconnect."""
        for client in self._clients.values():
            for each in (client, *sentinels_of(client)):
                await each.aclose()


class AsyncCluster(AsyncServers):
    """The nodes of a cluster."""

    def __init__(self, address: Address, options: Mapping[str, Any]) -> None:
        self._clients = {}
        self._address = address
        self._options = options
        self.topology: Topology = Topology(address.nodes)

    async def owner(self, key: str) -> Node | None:
        """Return the node that has a key's slot; raises redis-py's error where no node says that it has."""
        slot = slot_of(key)
        if self.topology.owner(slot) is None:
            await self.look_again()
        return self.topology.owner(slot) or unowned(slot)

    async def look_again(self) -> None:
        """Ask the nodes one after the other, until one answers."""
        for node in self.topology.to_ask():
            connection = self.make_connection(node)
            try:
                async with asyncio.timeout(REFRESH_TIMEOUT_S):
                    await connection.connect()
                    await connection.send_command("CLUSTER", "SLOTS")
                    self.topology.learn(await connection.read_response(), node)
                return
            except (*BROKEN, RedisError):
                continue
            finally:
                with contextlib.suppress(*BROKEN):
                    await connection.disconnect(nowait=True)

    def client(self, node: Node | None) -> redis.asyncio.Redis:
        """Return redis-py's client of a node, which may be new."""
        assert node is not None
        if node not in self._clients:
            self._clients[node] = redis.asyncio.Redis.from_url(self._address.at(node), **self._options)
        return self._clients[node]


def is_lost(connection: Any) -> bool:
    """Return whether the transport of a connection of redis-py's is closed; redis-py learns it only by reading.

    Nothing may be written to such a transport. asyncio of Python 3.12, and of early releases of 3.13, then watches
    the number of the closed file, which another socket of the process may have by then: that one never hears that
    it is connected, or the loop spins (cpython#136234).
    """
    writer = connection._writer
    return writer is not None and bool(writer.is_closing())


class AsyncLane:
    """One queue, and the task that sends it, over one connection."""

    def __init__(self, servers: AsyncServers, sending: Sending) -> None:
        self.buffer = Buffer(sending.buffer_events, sending.buffer_bytes, sending.retry_s)
        self._servers = servers
        self._of = slot_of_item if servers.topology is not None else None
        self._sending = sending
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connections: dict[Node | None, Any] = {}
        self._node: Node | None = None
        """What was sent to last."""

    def put(self, item: Item) -> None:
        """Have an item sent behind all others."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send_all(), name="publisher")
        note_drop(self.buffer.put(item), self.buffer.counters)
        self._filled.set()

    async def aclose(self, timeout_s: float) -> None:
        """Send what waits, for at most `timeout_s`, and disconnect."""
        if self._task is not None:
            self._emptied.clear()
            self._filled.set()
            if len(self.buffer):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._emptied.wait(), timeout_s)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.buffer.close()
        await self._disconnect()

    async def _send_all(self) -> None:
        window = SendWindow()
        task = asyncio.current_task()
        # Python 3.11's `wait_for`, under redis-py, may swallow a cancellation: then this sees it.
        while task is None or not task.cancelling():
            items = self.buffer.take(window.most, time.time(), self._of)
            if not items:
                self._emptied.set()
                self._filled.clear()
                await self._filled.wait()
                continue
            try:
                results: Sequence[Any] | Exception = await self._execute(items)
            except Exception as error:  # noqa: BLE001  # the buffer knows which ones pass
                results = error
                await self._disconnect()
            trouble = self.buffer.settle(items, results)
            if window.wants_scripts(trouble):
                await self._load_scripts()
            elif trouble is not None:
                note_retry(window.failures, trouble, len(self.buffer))
                await asyncio.sleep(window.pause_s())
                await self._servers.look_again()

    async def _execute(self, items: Sequence[Item]) -> Sequence[Any]:
        """Send a batch in one write and read its replies; an error reply stands for the items of its call."""
        node = self._node = await self._servers.owner(items[0].envelope.keys[0])
        connection = await self._connect(node)
        envelopes = [item.envelope for item in items]
        calls = calls_of(envelopes)
        commands = (command_of([items[i] for i in call], self.buffer.lane) for call in calls)
        packed = [connection.pack_command("EVALSHA", *command) for command in commands]
        wanted = self._sending.wait_replicas
        if wanted:
            packed.append(connection.pack_command("WAIT", wanted, REPLICAS_TIMEOUT_MS))
        await connection.send_packed_command([b"".join(chunks) for chunks in packed])
        answers: list[Any] = []
        for _ in packed:
            try:
                answers.append(await connection.read_response())
            except ResponseError as error:
                answers.append(error)
        if wanted:
            check_replicas(answers, wanted)
        return results_of(envelopes, calls, heed(self._servers.topology, answers, node))

    async def _connect(self, node: Node | None) -> Any:
        """Return the one connection to a server, without the pool's and the client's work at every command.

        There are several only while slots of one lane are on different nodes.
        """
        connection = self._connections.get(node)
        if connection is not None and is_lost(connection):
            await self._disconnect()
            connection = None
        if connection is None:
            connection = self._connections[node] = self._servers.make_connection(node)
        await connection.connect()
        return connection

    async def _disconnect(self) -> None:
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            with contextlib.suppress(*BROKEN):
                await connection.disconnect(nowait=True)

    async def _load_scripts(self) -> None:
        try:
            connection = await self._connect(self._node)
            for script in SCRIPTS.values():
                await connection.send_command("SCRIPT", "LOAD", script.source)
                await connection.read_response()
        except Exception as error:  # noqa: BLE001  # the next attempt shows whether it matters
            _log.warning("can't load the scripts: %s", error)
            await self._disconnect()
