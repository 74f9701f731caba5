"""Commands and scripts over one pipelined connection, which reconnects by itself."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from importlib.resources import files
from typing import Any

import structlog
from redis.exceptions import RedisError

from gateway.core.limits import LIMITS, Limits
from gateway.redis.connection import Connection, RedisUnavailable, ReplyError, Source
from gateway.tasks import cancelled
from publisher.address import Node
from publisher.calls import Taken, results_of
from publisher.envelope import Envelope
from publisher.errors import PublishError
from publisher.scripts import FUNCTIONS, SCRIPTS, command
from publisher.sending import Backoff

_log = structlog.get_logger("gateway.redis")

OPEN_ERRORS = (RedisError, OSError, TimeoutError, asyncio.TimeoutError)


class Script:
    """A Lua script, joined from files by their paths below `gateway` (`rooms/read_logs`), in the given order."""

    def __init__(self, *names: str) -> None:
        folder = files("gateway")
        self.source = FUNCTIONS + "".join(folder.joinpath(f"{name}.lua").read_text("utf-8") for name in names)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


def new_backoff(limits: Limits) -> Backoff:
    """Return the pauses between attempts to connect; they double and have jitter."""
    return Backoff(cap=limits.reconnect_most_s, base=limits.reconnect_first_s)


class Commands:
    """One connection to Redis for commands.

    While the connection is down, every call raises `RedisUnavailable` at once.
    """

    publishing = "PUBLISH"
    """The Redis command with which scripts publish: `PUBLISH` or `SPUBLISH`."""

    def __init__(self, source: Source, scripts: dict[str, str] | None = None, *, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self._source = source
        self._connection: Connection | None = None
        self._lost = asyncio.Event()
        self._up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        if scripts is None:
            scripts = {script.sha: script.source for script in SCRIPTS.values()}
        self._scripts = scripts
        self.reconnects = 0
        self.demoted_at = 0.0
        """Loop time at which a server last answered READONLY, that is, was no longer the master; 0.0 for never."""

    def script(self, *names: str) -> Script:
        """Return a script; every later connection loads it into Redis."""
        script = Script(*names)
        self._scripts[script.sha] = script.source
        return script

    async def start(self) -> None:
        """Connect, or raise the error of redis-py or the system; then reconnect in the background."""
        await self._open()
        self.start_reconnecting()

    def start_reconnecting(self) -> None:
        """Start the background task that connects whenever the connection is down."""
        if self._connection is None:
            self._lost.set()
        self._keeper = asyncio.create_task(self._keep(), name="redis commands")

    async def stop(self) -> None:
        """Disconnect; later calls raise `RedisUnavailable`."""
        await cancelled(self._keeper)
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        await self._source.aclose()

    @property
    def source(self) -> Source:
        """Return the source of the connections."""
        return self._source

    @property
    def is_up(self) -> bool:
        """Return whether the connection is up."""
        return self._connection is not None and self._connection.is_up

    @property
    def all_up(self) -> bool:
        """Return whether all of Redis can be asked; a cluster may be up without some of its shards."""
        return self.is_up

    @property
    def own_address(self) -> str:
        """The local IP address of the connection to Redis; empty without one."""
        return self._connection.own_address if self._connection is not None else ""

    async def wait_up(self, timeout_s: float, key: str | None = None) -> None:
        """Wait until Redis can be asked about `key`, or all keys; raises `RedisUnavailable` after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.is_up:
                    self._up.clear()  # `_keep` may not have noticed the loss yet
                    await self._up.wait()
        except TimeoutError:
            raise RedisUnavailable("Redis is unavailable") from None

    def ask(self, *command: str | bytes | float) -> asyncio.Future[Any]:
        """Send one command; the future returns its reply, or raises `RedisUnavailable` or `ReplyError`."""
        if self._connection is None:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            future.set_exception(RedisUnavailable("Redis is unavailable"))
            return future
        return self._connection.ask(*command)

    def run(self, script: Script, keys: list[str], *args: str | bytes | float) -> Coroutine[Any, Any, Any]:
        """Run a script; the command is sent now, not when the result is awaited.

        Raises `RedisUnavailable` or `ReplyError`.
        """
        words = (script.sha, len(keys), *keys, *args)
        return self._evaluate(self.ask("EVALSHA", *words), words)

    async def publish(self, envelope: Envelope) -> Taken:
        """Publish an envelope; return the record of its event, which for a duplicate is the earlier one's.

        If the envelope holds two events (`also`), return the first one's record. Raises `RedisUnavailable`,
        `ReplyError`, and `PublishError` with a code for an event that can't be published.
        """
        words = command(envelope, publishing=self.publishing)
        answer = await self._evaluate(self.ask("EVALSHA", *words), words)
        (result,) = results_of([envelope], [[0]], [answer])
        if isinstance(result, PublishError):
            raise result
        if result is None or isinstance(result, Exception):
            raise ReplyError(str(result))
        return result[0]

    async def _evaluate(self, asked: asyncio.Future[Any], words: tuple[Any, ...]) -> Any:
        try:
            return await asked
        except ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        await self._reload(words[2])
        return await self.ask("EVALSHA", *words)

    async def _reload(self, key: str) -> None:
        """Load all scripts again into the server that has the key."""
        if self._connection is None:
            raise RedisUnavailable("Redis is unavailable")
        await self._load(self._connection)

    async def subscribers(self, channel: str) -> int:
        """Return the number of connections that are subscribed to a channel.

        Raises `RedisUnavailable` or `ReplyError`.
        """
        return int((await self.ask("PUBSUB", "NUMSUB", channel))[1])

    @property
    def server(self) -> Node | None:
        """Return the server at the other end; None while the connection is down."""
        return self._connection.server if self._connection is not None else None

    def drop(self) -> None:
        """Close the connection; `_keep` makes a new one."""
        if self._connection is not None:
            self._connection.abort()

    async def _open(self) -> None:
        lost = asyncio.Event()
        connection = self._source.connection(on_lost=lost.set)
        await connection.open()
        try:
            await self._load(connection)
        except BaseException:
            connection.abort()
            raise
        self._connection, self._lost = connection, lost
        self._up.set()

    async def _load(self, connection: Connection) -> None:
        await asyncio.gather(*(connection.ask("SCRIPT", "LOAD", source) for source in self._scripts.values()))

    async def _keep(self) -> None:
        backoff = new_backoff(self.limits)
        while True:
            await self._watch()
            failures, before = 0, self._connection
            if before is not None:
                _log.warning("redis_commands_lost")
                if before.demoted:
                    # Wait before the next attempt: without a new master the server would answer READONLY at once.
                    self.demoted_at, failures = asyncio.get_running_loop().time(), 1
                self._connection = None
            self._up.clear()
            if failures:
                await asyncio.sleep(backoff.compute(failures))
            while not self.is_up:
                try:
                    await self._open()
                except (*OPEN_ERRORS, ReplyError):
                    self._connection = None
                    failures += 1
                    await asyncio.sleep(backoff.compute(failures))
            if before is not None:
                self.reconnects += 1
                _log.info("redis_commands_back")

    async def _watch(self) -> None:
        """Wait until the connection is lost; abort it if a reply takes longer than `redis_answer_s`."""
        while not self._lost.is_set():
            try:
                await asyncio.wait_for(self._lost.wait(), 1.0)
            except TimeoutError:
                if self._connection is not None and self._connection.waiting_s() > self.limits.redis_answer_s:
                    self._connection.abort()
