"""A connection to Redis without a task of its own: bytes in, replies out, in the loop's own callback.

redis-py finds the server, connects, authenticates and secures the connection (Sentinel, TLS, ACL and Unix
sockets included). hiredis parses the replies. redis-py's own reader costs 30 to 50 µs a message, which is more
than the rest of the gateway's work on an event for a small room. So this module takes over the transport of an
open connection and feeds hiredis directly.

Only this module uses private attributes of redis-py (`Connection._reader`, `._writer`). redis-py is pinned, and
`tests/redis/test_connection.py` fails when a version no longer has them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from publisher.address import Node, client_of, parse_address, sentinels_of

# Longest time to handle replies in one turn of the loop: heartbeats and connects wait that long.
TURN_S = 0.008

Rest = Callable[[], "Rest | None"]


class RedisUnavailable(ConnectionError):
    """Redis can't be asked: the connection is down, or it broke while the command was under way."""


class AnswerLost(RedisUnavailable):
    """The connection broke while the command was under way: nobody knows whether Redis ran it."""


class ReplyError(Exception):
    """Redis answered with an error; the text begins with its code."""


class Source:
    """The address of one Redis server, or of the master that Sentinels name. Makes connections to it."""

    def __init__(self, url: str, *, name: str, **options: Any) -> None:
        address = parse_address(url)
        self.has_sentinels = address.kind == "sentinel"
        self._master = address.master
        self._client: Any = client_of(
            redis.asyncio,
            address,
            {
                # RESP2 delivers pub/sub messages as plain lists. RESP3 would cost one more type check.
                "protocol": 2,
                "decode_responses": False,
                "socket_timeout": None,  # silence is normal for a subscriber
                "socket_connect_timeout": 2.0,
                "socket_keepalive": True,
                "health_check_interval": 0,
                "retry": Retry(NoBackoff(), 0),
                "client_name": name,
                **options,
            },
        )

    def connection(
        self,
        *,
        on_push: Callable[[list[Any] | bytes | ReplyError], Rest | None] | None = None,
        on_lost: Callable[[], None],
    ) -> Connection:
        """Return a new connection, not open yet; the arguments are those of `Connection`."""
        return Connection(self, on_push=on_push, on_lost=on_lost)

    def make_connection(self) -> Any:
        """Return a new redis-py connection, not connected yet."""
        return self._client.connection_pool.make_connection()

    async def master(self) -> Node | None:
        """Return the master that the Sentinels name; None without Sentinels, or while none of them names one."""
        if not self.has_sentinels:
            return None
        manager = self._client.connection_pool.sentinel_manager
        with contextlib.suppress(RedisError, OSError):
            return Node(*await manager.discover_master(self._master))
        return None

    async def aclose(self) -> None:
        """Close the connections to the Sentinels. Each `Connection` is closed by its owner."""
        for sentinel in sentinels_of(self._client):
            await sentinel.aclose()


class Connection(asyncio.Protocol):
    """One connection. `on_push` gets messages that answer no command; `on_lost` is called once, at its end.

    Redis answers commands in order. All commands of one turn of the loop are written together, because the system
    call is the most expensive part of a command. `on_push` may return a function with the rest of its work; the
    connection handles nothing else before that is done.
    """

    def __init__(
        self,
        source: Source,
        *,
        on_push: Callable[[list[Any] | bytes | ReplyError], Rest | None] | None = None,
        on_lost: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._on_push = on_push
        self._on_lost = on_lost
        self._clock = clock
        self._reader = hiredis.Reader(replyError=ReplyError)
        self._asked: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._transport: asyncio.Transport | None = None
        # asyncio's stream objects close the transport when they are garbage-collected, so they are kept.
        self._kept: tuple[Any, Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._rest: Rest | None = None
        self._paused = False
        self._out: list[bytes] = []
        self._heard_at = clock()
        self.server = Node("", 0)
        """The server at the other end, by the name used to connect."""
        self.demoted = False
        """Whether the server answered READONLY: it is no longer the master."""

    async def open(self, timeout_s: float = 5.0) -> None:
        """Connect; raises `RedisUnavailable`, redis-py's errors, `OSError` or `TimeoutError`."""
        connection = self._source.make_connection()
        async with asyncio.timeout(timeout_s):
            await connection.connect()
            if self._source.has_sentinels:
                await _check_role(connection)
        self.server = Node(getattr(connection, "host", ""), getattr(connection, "port", 0))
        stream, writer = connection._reader, connection._writer
        if stream is None or writer is None or stream._buffer:
            raise RedisUnavailable("the connection was not idle after its handshake")
        self._transport = writer.transport
        connection._reader = connection._writer = None  # so that redis-py does not close the transport
        self._kept = stream, writer
        self._transport.set_protocol(self)
        if self._transport.is_closing():
            raise RedisUnavailable("the connection was closed after its handshake")

    @property
    def is_up(self) -> bool:
        """Return whether commands can be sent."""
        return self._transport is not None

    @property
    def own_address(self) -> str:
        """The local IP address of the connection; empty without one (Unix socket, or not connected)."""
        name = self._transport.get_extra_info("sockname") if self._transport is not None else None
        return str(name[0]) if isinstance(name, tuple) else ""

    def waiting_s(self) -> float:
        """Return for how many seconds the oldest command has waited for its reply; 0.0 if none waits."""
        return self._clock() - self._asked[0][0] if self._asked else 0.0

    def silent_s(self) -> float:
        """Return for how many seconds the server has sent nothing."""
        return self._clock() - self._heard_at

    def ask(self, *command: str | bytes | float) -> asyncio.Future[Any]:
        """Send a command; the future returns its reply, or raises `ReplyError` or `RedisUnavailable`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._transport is None:
            future.set_exception(RedisUnavailable("Redis is unavailable"))
            return future
        self._asked.append((self._clock(), future))
        self.send(*command)
        return future

    def send(self, *command: str | bytes | float) -> None:
        """Send a command whose reply goes to `on_push`; does nothing while the connection is down."""
        if self._transport is None:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(command))  # type: ignore[arg-type]  # floats are fine

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None:
            self._transport.write(b"".join(out))

    def abort(self) -> None:
        """Drop the connection now; `on_lost` follows."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the transport."""
        self._heard_at = self._clock()
        self._reader.feed(data)
        if self._rest is None and not self._paused:
            self._work()

    def _work(self) -> None:
        deadline = self._clock() + TURN_S
        try:
            while True:
                if self._rest is not None:
                    self._rest = self._rest()
                else:
                    reply = self._reader.gets()
                    if reply is False:
                        break
                    self._rest = self._dispatch(reply)
                if self._clock() > deadline:
                    self._pause()
                    return
        except hiredis.ProtocolError:
            self.abort()
            return
        self._resume()

    def _dispatch(self, reply: Any) -> Rest | None:
        if self._asked:
            _, future = self._asked.popleft()
            if future.done():
                pass
            elif isinstance(reply, ReplyError):
                future.set_exception(reply)
                if str(reply).startswith("READONLY"):
                    self.demoted = True
                    self.abort()
            else:
                future.set_result(reply)
        elif self._on_push is not None and isinstance(reply, (list, bytes, ReplyError)):
            return self._on_push(reply)
        return None

    def _pause(self) -> None:
        """Stop reading, and continue in the next turn of the loop; unread replies stay with Redis."""
        if self._transport is None:
            return
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._loop.call_soon(self._work)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            if self._transport is not None:
                self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail all waiting commands with `AnswerLost`, and call `on_lost`."""
        self._transport = self._kept = None
        # Finish the message in progress: nothing could resume it later.
        while self._rest is not None:
            self._rest = self._rest()
        asked, self._asked = self._asked, deque()
        for _, future in asked:
            if not future.done():
                future.set_exception(AnswerLost("the connection to Redis broke"))
        self._on_lost()

    async def close(self) -> None:
        """Close without calling `on_lost`, at the end of the process."""
        self._on_lost = lambda: None
        if self._transport is not None:
            self._transport.abort()
            await asyncio.sleep(0)


async def _check_role(connection: Any) -> None:
    """Raise `RedisUnavailable` if the server is no master: Sentinels may name an old one."""
    await connection.send_command("ROLE")
    role = await connection.read_response()
    if role[0] != b"master":
        await connection.disconnect(nowait=True)
        raise RedisUnavailable("the server that the Sentinels name is not a master")
