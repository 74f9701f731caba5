"""Connections of the blocking publisher to Redis: one server, a master behind Sentinels, or a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import redis
from redis.exceptions import RedisError

from publisher.address import Address, Node, client_of, sentinels_of
from publisher.buffer import BROKEN, Item
from publisher.lanes import slot_of_item
from publisher.sending import REFRESH_TIMEOUT_S, unowned
from publisher.topology import Topology


class Servers:
    """redis-py's clients of one server, of the master that Sentinels name, or of the nodes of a cluster."""

    topology: Topology | None = None

    def __init__(self, client: redis.Redis) -> None:
        self._clients: dict[Node | None, redis.Redis] = {None: client}

    @classmethod
    def at(cls, address: Address, options: Mapping[str, Any]) -> Servers:
        """Return the servers of an address; nothing is connected yet."""
        if address.kind == "cluster":
            return Cluster(address, options)
        return cls(client_of(redis, address, options))

    def owner(self, item: Item) -> Node | None:
        """Return the node that takes an item; None outside of a cluster."""
        return None

    def look_again(self) -> None:
        """Learn the current owners of slots; nothing to do outside of a cluster."""

    def client(self, node: Node | None) -> redis.Redis:
        """Return redis-py's client of a node."""
        return self._clients[node]

    def close(self) -> None:
        """Close all clients, and those of the Sentinels."""
        for client in list(self._clients.values()):
            for each in (client, *sentinels_of(client)):
                each.close()


class Cluster(Servers):
    """redis-py's clients of a cluster's nodes, each created when it is first needed."""

    def __init__(self, address: Address, options: Mapping[str, Any]) -> None:
        self._clients = {}
        self._address = address
        self._options = options
        self.topology: Topology = Topology(address.nodes)

    def owner(self, item: Item) -> Node | None:
        """Return the node that owns an item's slot; raise redis-py's `ConnectionError` if no node claims it."""
        slot = slot_of_item(item)
        if self.topology.owner(slot) is None:
            self.look_again()
        return self.topology.owner(slot) or unowned(slot)

    def look_again(self) -> None:
        """Ask the nodes for their slots, one after the other, until one answers."""
        timeouts = {"socket_connect_timeout": REFRESH_TIMEOUT_S, "socket_timeout": REFRESH_TIMEOUT_S}
        for node in self.topology.to_ask():
            pool = redis.ConnectionPool.from_url(self._address.at(node), **{**self._options, **timeouts})
            connection: Any = pool.make_connection()
            try:
                connection.connect()
                connection.send_command("CLUSTER", "SLOTS")
                self.topology.learn(connection.read_response(), node)
            except (*BROKEN, RedisError):
                continue
            else:
                return
            finally:
                with contextlib.suppress(*BROKEN):
                    connection.disconnect()

    def client(self, node: Node | None) -> redis.Redis:
        """Return redis-py's client of a node; create it if it is missing."""
        assert node is not None
        if node not in self._clients:
            self._clients[node] = redis.Redis.from_url(self._address.at(node), **self._options)
        return self._clients[node]
