"""The simulated Redis: one standalone server on asyncio's protocols, with the troubles of a real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.redis.command import Command
from tests.simulation.redis.commands import COMMANDS, matching
from tests.simulation.redis.connection import Connection
from tests.simulation.redis.connection_commands import CONNECTION_COMMANDS
from tests.simulation.redis.journal import Journal
from tests.simulation.redis.keyspace import Keyspace
from tests.simulation.redis.replies import bulk
from tests.simulation.redis.scripting import Effect, Scripts

MOST_LOST = 1000


class RedisServer:
    """One server. `now_us` returns the wall time in µs; `protocol` is the factory for `loop.create_server`.

    With `journal`, the last `most_lost` writes can be lost by a restart or a failover.
    """

    version = b"9.1.2"

    def __init__(self, now_us: Callable[[], int], *, journal: bool = False, most_lost: int = MOST_LOST) -> None:
        self.now_us = now_us
        self.keyspace = Keyspace()
        self.out_of_memory = False
        """Whether the commands that need memory are refused, in scripts only as their first write."""
        self.loading = False
        """Whether the data is being loaded: nearly everything is refused."""
        self.read_only = False
        """Whether this is a replica, or a master that was demoted: writes are refused."""
        self.output_limit_bytes = 0
        """Unsent bytes beyond which a subscriber is cut; 0 for no limit."""
        self.replicas = 0
        """Replicas that have all writes at once, for WAIT."""
        self.connections: dict[Connection, None] = {}
        self.channels: dict[bytes, dict[Connection, None]] = {}
        self.patterns: dict[bytes, dict[Connection, None]] = {}
        self.pending: dict[Connection, None] = {}
        """Connections that may have something to write."""
        self.commands = {**COMMANDS, b"PUBLISH": Command(self._publish, 2, 2, loading=True)}
        forbidden = frozenset(CONNECTION_COMMANDS)
        self.scripts = Scripts(self.keyspace, self.commands, forbidden, self)
        self._journal = Journal(most_lost) if journal else None
        self.writes = 0
        """Writes so far, with a journal; each is one command or one script."""
        self._idents = 0

    def protocol(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self)

    @property
    def losable(self) -> int:
        """Return the number of writes that a restart can lose."""
        return 0 if self._journal is None else len(self._journal)

    def restart(self, lose: int | None = 0) -> None:
        """End all connections, and forget scripts and the last writes; `None` loses all data.

        Only with `journal` can a part be lost; more than it holds raises `ValueError`.
        """
        if lose is None:
            self.remove_all()
        elif lose:
            if self._journal is None:
                raise ValueError("without a journal, a restart loses nothing or everything")
            self.keyspace.become(self._journal.rewind(lose))
        self.scripts.forget()
        for connection in list(self.connections):
            connection.drop()

    def remove_all(self) -> None:
        """Remove all keys; connections stay."""
        self.keyspace.become(Keyspace())
        if self._journal is not None:
            self._journal.forget()

    def failover(self, behind: int = 0) -> None:
        """Put a replica in the place of the master: it lacks the last writes, and knows no script."""
        self.restart(lose=behind)
        self.read_only = False

    def expire_due(self) -> int:
        """Remove all keys that have expired; return their number. It looks at every key that has an expiry."""
        now_us = self.now_us()
        self.keyspace.at(now_us)
        if self._journal is not None:
            self._journal.expire_due(now_us)
        return self.keyspace.expire_due()

    def run(self, sha: bytes, keys: int, words: list[bytes], *, resp3: bool) -> bytes | None:
        """Run a script and return the bytes of its reply; None if the script is unknown."""
        scripts = self.scripts
        if self._journal is None:
            return scripts.run(sha, keys, words, resp3=resp3)
        effects: list[Effect] = []
        scripts.effects = effects
        reply = scripts.run(sha, keys, words, resp3=resp3)
        if effects:
            self.note(effects)
        return reply

    def note(self, effects: list[Effect]) -> None:
        """Note a write for the journal."""
        self.writes += 1
        if self._journal is not None:
            self._journal.note(self.keyspace.now_us, effects)

    def flush(self) -> None:
        """Write what is ready on all connections."""
        pending, self.pending = self.pending, {}
        for connection in pending:
            connection.flush()

    def next_ident(self) -> int:
        """Return the number of a new connection."""
        self._idents += 1
        return self._idents

    def info(self) -> bytes:
        """Return the reply to INFO: the few lines that somebody reads."""
        role = b"slave" if self.read_only else b"master"
        lines = (
            b"# Server",
            b"redis_version:7.2.4",
            b"server_name:valkey",
            b"valkey_version:" + self.version,
            b"redis_mode:standalone",
            b"# Clients",
            b"connected_clients:%d" % len(self.connections),
            b"# Persistence",
            b"loading:%d" % self.loading,
            b"aof_enabled:1",
            b"# Replication",
            b"role:" + role,
            b"connected_slaves:%d" % self.replicas,
            b"# Keyspace",
            b"db0:keys=%d,expires=%d,avg_ttl=0" % (len(self.keyspace.data), len(self.keyspace.expires)),
        )
        return b"\r\n".join(lines) + b"\r\n"

    def _publish(self, keyspace: Keyspace, args: list[bytes]) -> Any:
        """Hand a message to the subscribers of a channel; return their number."""
        found = self.channels.get(args[0])
        if found:
            body = b"3\r\n$7\r\nmessage\r\n" + bulk(args[0]) + bulk(args[1])
            plain, pushed = b"*" + body, b">" + body
            pending = self.pending
            for connection in found:
                connection.out.append(pushed if connection.is_resp3 else plain)
                pending[connection] = None
        told = len(found or ())
        return told + self._publish_to_patterns(args) if self.patterns else told

    def _publish_to_patterns(self, args: list[bytes]) -> int:
        """Hand a message to the subscribers of patterns that match its channel; return their number."""
        told = 0
        for pattern, found in self.patterns.items():
            if matching([args[0]], pattern):
                for connection in found:
                    connection.out.append(connection.push(b"pmessage", pattern, *args))
                    self.pending[connection] = None
                told += len(found)
        return told
