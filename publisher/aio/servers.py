"""Connections of the asyncio publisher to Redis: one server, a master behind Sentinels, or a cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from publisher.address import Address, Node, client_of, sentinels_of
from publisher.buffer import BROKEN
from publisher.sending import REFRESH_TIMEOUT_S, unowned
from publisher.topology import Topology, slot_of


class AsyncServers:
    """redis-py's clients of one server, of the master that Sentinels name, or of the nodes of a cluster."""

    topology: Topology | None = None

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._clients: dict[Node | None, redis.asyncio.Redis] = {None: client}

    @classmethod
    def at(cls, address: Address, options: Mapping[str, Any]) -> AsyncServers:
        """Return the servers of an address; nothing is connected yet."""
        if address.kind == "cluster":
            return AsyncCluster(address, options)
        return cls(client_of(redis.asyncio, address, options))

    async def owner(self, key: str) -> Node | None:
        """Return the node that owns a key; None outside of a cluster."""
        return None

    async def look_again(self) -> None:
        """Learn the current owners of slots; nothing to do outside of a cluster."""

    def client(self, node: Node | None) -> redis.asyncio.Redis:
        """Return redis-py's client of a node."""
        return self._clients[node]

    def make_connection(self, node: Node | None) -> Any:
        """Return a new connection to a node, not connected yet."""
        return self.client(node).connection_pool.make_connection()  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        """Close all clients, and those of the Sentinels."""
        for client in self._clients.values():
            for each in (client, *sentinels_of(client)):
                await each.aclose()


class AsyncCluster(AsyncServers):
    """redis-py's clients of a cluster's nodes, each created when it is first needed."""

    def __init__(self, address: Address, options: Mapping[str, Any]) -> None:
        self._clients = {}
        self._address = address
        self._options = options
        self.topology: Topology = Topology(address.nodes)

    async def owner(self, key: str) -> Node | None:
        """Return the node that owns a key's slot; raise redis-py's `ConnectionError` if no node claims it."""
        slot = slot_of(key)
        if self.topology.owner(slot) is None:
            await self.look_again()
        return self.topology.owner(slot) or unowned(slot)

    async def look_again(self) -> None:
        """Ask the nodes for their slots, one after the other, until one answers."""
        await ask_for_slots(self.topology, self.make_connection, REFRESH_TIMEOUT_S)

    def client(self, node: Node | None) -> redis.asyncio.Redis:
        """Return redis-py's client of a node; create it if it is missing."""
        assert node is not None
        if node not in self._clients:
            self._clients[node] = redis.asyncio.Redis.from_url(self._address.at(node), **self._options)
        return self._clients[node]


async def ask_for_slots(topology: Topology, connect: Callable[[Node], Any], timeout_s: float) -> Exception | None:
    """Learn the owners of all slots from the first node that answers within `timeout_s` seconds.

    `connect` returns a redis-py connection to a node, not connected yet. Return the last node's error if none
    answers, else None.
    """
    trouble: Exception | None = RedisConnectionError("the cluster has no nodes")
    for node in topology.to_ask():
        connection = connect(node)
        try:
            async with asyncio.timeout(timeout_s):
                await connection.connect()
                await connection.send_command("CLUSTER", "SLOTS")
                topology.learn(await connection.read_response(), node)
            return None
        except (*BROKEN, RedisError) as error:
            trouble = error
        finally:
            with contextlib.suppress(*BROKEN):
                await connection.disconnect(nowait=True)
    return trouble
