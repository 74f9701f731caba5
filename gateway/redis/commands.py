"""Asking Redis: commands and scripts over one pipelined connection that comes back by itself."""

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
from publisher.scripts import SCRIPTS, command
from publisher.sending import Backoff

_log = structlog.get_logger("gateway.redis")

OPEN_ERRORS = (RedisError, OSError, TimeoutError, asyncio.TimeoutError)


class Script:
    """A Lua script by its path, such as `rooms/read_logs`; of several the first are its functions."""

    def __init__(self, *names: str) -> None:
        folder = files("gateway")
        self.source = "".join(folder.joinpath(f"{name}.lua").read_text("utf-8") for name in names)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


def new_backoff(limits: Limits) -> Backoff:
    """Return the pauses between attempts to connect, which double and have jitter."""
    return Backoff(cap=limits.reconnect_most_s, base=limits.reconnect_first_s)


class Commands:
    """One connection for everything that is asked.

    While it is down every call raises `RedisUnavailable` at once.
    """

    publishing = "PUBLISH"
    """The command that scripts publish with."""

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
        """When the server last said that it is no master any more, by the loop's clock."""

    def script(self, *names: str) -> Script:
        """Load a script; it is at the server whenever the connection is up."""
        script = Script(*names)
        self._scripts[script.sha] = script.source
        return script

    async def start(self) -> None:
        """Connect, or raise what redis-py or the system raises; from then on reconnect in the background."""
        await self._open()
        self.begin()

    def begin(self) -> None:
        """Connect in the background, unless that is done."""
        if self._connection is None:
            self._lost.set()
        self._keeper = asyncio.create_task(self._keep(), name="redis commands")

    async def stop(self) -> None:
        """Disconnect; calls raise from now on."""
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
        """Return whether Redis can be asked just now."""
        return self._connection is not None and self._connection.is_up

    @property
    def all_up(self) -> bool:
        """Return whether all of Redis can be asked: a cluster may be up without one of its shards."""
        return self.is_up

    @property
    def own_address(self) -> str:
        """The address that this machine has on the way to Redis, empty where that is no network's."""
        return self._connection.own_address if self._connection is not None else ""

    async def wait_up(self, timeout_s: float, key: str | None = None) -> None:
        """Wait until Redis can be asked, about one key or all.

        Raises `RedisUnavailable` if that takes longer than `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self.is_up:
                    self._up.clear()  # the keeper may not have seen the end yet
                    await self._up.wait()
        except TimeoutError:
            raise RedisUnavailable("Redis is away") from None

    def ask(self, *command: str | bytes | float) -> asyncio.Future[Any]:
        """Send one command and return its reply.

        Raises `RedisUnavailable`, or `ReplyError` with Redis' own words.
        """
        if self._connection is None:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            future.set_exception(RedisUnavailable("Redis is away"))
            return future
        return self._connection.ask(*command)

    def run(self, script: Script, keys: list[str], *args: str | bytes | float) -> Coroutine[Any, Any, Any]:
        """Run a script; the same errors as `ask`. It is on its way from now on, before what is asked later."""
        words = (script.sha, len(keys), *keys, *args)
        return self._evaluate(self.ask("EVALSHA", *words), words)

    async def publish(self, envelope: Envelope) -> Taken:
        """Send an envelope of the publisher's; return what Redis has of its event, of two the first.

        The same errors as `ask`; `PublishError` with a code for an event that can't be published at all.
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
        """Load the scripts again where a key is."""
        if self._connection is None:
            raise RedisUnavailable("Redis is away")
        await self._load(self._connection)

    async def subscribers(self, channel: str) -> int:
        """Count the connections that listen to a channel; the same errors as `ask`."""
        return int((await self.ask("PUBSUB", "NUMSUB", channel))[1])

    @property
    def server(self) -> Node | None:
        """Return the server that is asked just now."""
        return self._connection.server if self._connection is not None else None

    def drop(self) -> None:
        """Give the connection up; a new one is made."""
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
                    # Where nobody takes its place, it would say so again and again.
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
        """Wait for the connection's end; end it when it answers nothing."""
        while not self._lost.is_set():
            try:
                await asyncio.wait_for(self._lost.wait(), 1.0)
            except TimeoutError:
                if self._connection is not None and self._connection.waiting_s() > self.limits.redis_answer_s:
                    self._connection.abort()
