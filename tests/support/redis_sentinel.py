"""A real master with replicas, and the Sentinels that look after them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import redis

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.support.redis_cluster import ask, info, is_in_sync
from tests.support.waiting import PATIENCE_S, until_sync

NAME = "mymaster"
DOWN_AFTER_MS = 1000


class Sentinel(EmbeddedRedis):
    """One Sentinel; its memory is its configuration file."""

    def __init__(self, folder: Path, binary: Path, master: EmbeddedRedis, *, quorum: int) -> None:
        super().__init__(folder=folder, binary=binary)
        self._configuration = folder / "sentinel.conf"
        self._quorum = quorum
        self._write(master)

    def _write(self, master: EmbeddedRedis) -> None:
        self._configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._configuration.parent}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {master.port} {self._quorum}\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {NAME} 3000\n"
        )

    def watch(self, master: EmbeddedRedis) -> None:
        """Begin anew, with another master."""
        self._write(master)
        self.start()

    def _command(self, binary: Path) -> list[str]:
        return [str(binary), str(self._configuration), "--sentinel"]


class Sentinels:
    """A master, a replica, and three Sentinels."""

    def __init__(self, folder: Path, binary: Path, options: Iterable[str] = ()) -> None:
        self._folder = folder
        self._binary = binary
        self._options = tuple(options)
        self.servers: list[EmbeddedRedis] = []
        self.sentinels: list[Sentinel] = []

    @property
    def url(self) -> str:
        """How they are named."""
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels) + f"/{NAME}/0"

    def start(self) -> Sentinels:
        """Start all, and wait until the Sentinels know each other and the replica."""
        master = self._server()
        self._server("--replicaof", f"127.0.0.1 {master.port}")
        until_sync(lambda: is_in_sync(self.servers[1]), PATIENCE_S, "the replica to be in sync")
        for i in range(3):
            folder = self._folder / f"sentinel-{i}"
            folder.mkdir()
            self.sentinels.append(Sentinel(folder, self._binary, master, quorum=2))
            self.sentinels[-1].start()
        until_sync(self._know_each_other, PATIENCE_S, "the Sentinels to know each other")
        return self

    def _server(self, *options: str) -> EmbeddedRedis:
        folder = self._folder / f"server-{len(self.servers)}"
        folder.mkdir(parents=True)
        options = ("--repl-diskless-sync-delay", "0", *self._options, *options)
        server = EmbeddedRedis(folder=folder, binary=self._binary, options=options)
        self.servers.append(server)
        server.start()
        return server

    def _know_each_other(self) -> bool:
        facts = [_pairs(ask(each, "SENTINEL", "MASTER", NAME)) for each in self.sentinels]
        return all(fact["num-other-sentinels"] == "2" and fact["num-slaves"] == "1" for fact in facts)

    @property
    def master(self) -> EmbeddedRedis:
        """Return the master as the Sentinels name it."""
        port = int(ask(self.sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])
        return next(server for server in self.servers if server.port == port)

    def owner(self, tenant: str) -> EmbeddedRedis:
        """Return the server that has a tenant: the master has all."""
        return self.master

    @property
    def replica(self) -> EmbeddedRedis:
        """Return the other one."""
        return next(server for server in self.servers if server is not self.master)

    def fail_over(self) -> None:
        """Have the Sentinels make the replica the master."""
        until_sync(self._begin_failover, PATIENCE_S, "the Sentinels to begin")

    def _begin_failover(self) -> bool:
        try:
            return bool(ask(self.sentinels[0], "SENTINEL", "FAILOVER", NAME) == b"OK")
        except Exception:  # noqa: BLE001  # INPROG, NOGOODSLAVE: not yet
            return False

    def is_master(self, server: EmbeddedRedis) -> bool:
        """Tell what a server says of itself, and the Sentinels of it."""
        return _role(server) == "master" and self.master is server

    def is_replica(self, server: EmbeddedRedis) -> bool:
        """Return whether a server says that it is none any more."""
        return _role(server) == "slave"

    def close(self) -> None:
        """End all."""
        for server in (*self.sentinels, *self.servers):
            server.kill()
            server.close()


def _role(server: EmbeddedRedis) -> str:
    try:
        return info(server, "replication")["role"]
    except redis.ConnectionError:
        return ""  # a server that changes its role ends all connections


def _pairs(flat: list[bytes]) -> dict[str, str]:
    texts = [item.decode() for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
