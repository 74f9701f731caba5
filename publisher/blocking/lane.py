"""The sender of a lane's events from a thread, and the servers that it sends them to."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import redis
from redis.exceptions import RedisError

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
from publisher.topology import Topology

_log = logging.getLogger("publisher")


class Servers:
    """Clients of the one server, of the master that Sentinels name, or of the nodes of a cluster."""

    topology: Topology | None = None

    def __init__(self, client: redis.Redis) -> None:
        self._clients: dict[Node | None, redis.Redis] = {None: client}

    @classmethod
    def at(cls, address: Address, options: Mapping[str, Any]) -> Servers:
        """Find them from a URL; no connection is made yet."""
        if address.kind == "cluster":
            return Cluster(address, options)
        return cls(client_of(redis, address, options))

    def owner(self, item: Item) -> Node | None:
        """Return the node that takes an item."""
        return None

    def look_again(self) -> None:
        """Find out which node has what by now."""

    def client(self, node: Node | None) -> redis.Redis:
        """Return the client of a node."""
        return self._clients[node]

    def close(self) -> None:
        """Disconnect."""
        for client in list(self._clients.values()):
            for each in (client, *sentinels_of(client)):
                each.close()


class Cluster(Servers):
    """The nodes of a cluster."""

    def __init__(self, address: Address, options: Mapping[str, Any]) -> None:
        self._clients = {}
        self._address = address
        self._options = options
        self.topology: Topology = Topology(address.nodes)

    def owner(self, item: Item) -> Node | None:
        """Return the node that has an item's slot; raises redis-py's error where no node says that it has."""
        slot = slot_of_item(item)
        if self.topology.owner(slot) is None:
            self.look_again()
        return self.topology.owner(slot) or unowned(slot)

    def look_again(self) -> None:
        """Ask the nodes one after the other, until one answers."""
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
        """Return the client of a node."""
        assert node is not None
        if node not in self._clients:
            self._clients[node] = redis.Redis.from_url(self._address.at(node), **self._options)
        return self._clients[node]


class Lane:
    """One queue, and the daemon thread that sends it; all lanes of a publisher share the lock in `changed`."""

    def __init__(self, servers: Servers, sending: Sending, changed: threading.Condition) -> None:
        self.buffer = Buffer(sending.buffer_events, sending.buffer_bytes, sending.retry_s)
        self._servers = servers
        self._of = slot_of_item if servers.topology is not None else None
        self._sending = sending
        self._changed = changed
        self._thread: threading.Thread | None = None
        self._closed = False
        self._given_up = False

    def put(self, item: Item) -> None:
        """Have an item sent behind all others; the caller holds the lock."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="publisher", daemon=True)
            self._thread.start()
        note_drop(self.buffer.put(item), self.buffer.counters)
        self._changed.notify_all()

    def close(self, timeout_s: float) -> None:
        """Send what waits, for at most `timeout_s`; what is reported as unsent then stays unsent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._thread is None or not len(self.buffer), timeout_s)
            self._given_up = True
            self.buffer.close()
            self._changed.notify_all()
        if self._thread is not None and not len(self.buffer):
            self._thread.join(timeout_s)

    def _send_all(self) -> None:
        window = SendWindow()
        while (items := self._next(window.most)) is not None:
            node: Node | None = None
            try:
                node = self._servers.owner(items[0])
                results: Sequence[Any] | Exception = self._execute(items, node)
            except Exception as error:  # noqa: BLE001  # the buffer knows which ones pass
                results = error
            with self._changed:
                trouble = self.buffer.settle(items, results)
                self._changed.notify_all()
            if window.wants_scripts(trouble):
                self._load_scripts(node)
            elif trouble is not None:
                note_retry(window.failures, trouble, len(self.buffer))
                with self._changed:
                    self._changed.wait_for(lambda: self._given_up, window.pause_s())
                self._servers.look_again()

    def _next(self, most: int) -> list[Item] | None:
        """Wait for something to send; None when nothing will be sent any more."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._given_up or self._closed or len(self.buffer))
                items = [] if self._given_up else self.buffer.take(most, time.time(), self._of)
                if items or self._given_up or self._closed:
                    return items or None

    def _execute(self, items: Sequence[Item], node: Node | None) -> Sequence[Any]:
        envelopes = [item.envelope for item in items]
        calls = calls_of(envelopes)
        with self._servers.client(node).pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.evalsha(*command_of([items[i] for i in call], self.buffer.lane))
            wanted = self._sending.wait_replicas
            if wanted:
                pipe.execute_command("WAIT", wanted, REPLICAS_TIMEOUT_MS)  # type: ignore[no-untyped-call]
            answers = pipe.execute(raise_on_error=False)
        if wanted:
            check_replicas(answers, wanted)
        return results_of(envelopes, calls, heed(self._servers.topology, answers, node))

    def _load_scripts(self, node: Node | None) -> None:
        try:
            for script in SCRIPTS.values():
                self._servers.client(node).script_load(script.source)
        except Exception as error:  # noqa: BLE001  # the next attempt shows whether it matters
            _log.warning("can't load the scripts: %s", error)
