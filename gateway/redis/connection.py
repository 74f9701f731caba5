"""A connection to Redis without a task of its own: bytes in, replies out, in the loop's own callback.

redis-py finds the server, connects, authenticates and secures the connection (Sentinel, TLS, ACL and Unix
sockets included); hiredis parses. Between them redis-py's reader costs 30 to 50 us a message, more than
everything else that the gateway does with an event for a small room, so once a connection is up this
module takes its transport over and feeds hiredis directly.

This is the one module that reaches past redis-py's public surface (`Connection._reader`, `._writer`);
redis-py is pinned and `tests/redis/test_connection.py` fails when those go.
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

# How long one turn may go on handling what has arrived: heartbeats and connects wait for it.
TURN_S = 0.008

Rest = Callable[[], "Rest | None"]


class RedisUnavailable(ConnectionError):
    """Redis can't be asked just now; the connection is down or went down with the question under way."""


class AnswerLost(RedisUnavailable):
    """The connection went down with the question under way: Redis may have done what it was asked, or not."""


class ReplyError(Exception):
    """Redis answered with an error; the text begins with its code."""


class Source:
    """The address of Redis, one server or the master that Sentinels name. Makes new connections to it."""

    def __init__(self, url: str, *, name: str, **options: Any) -> None:
        address = parse_address(url)
        self.has_sentinels = address.kind == "sentinel"
        self._master = address.master
        self._client: Any = client_of(
            redis.asyncio,
            address,
            {
                # Plain lists for pub/sub: RESP3 pushes cost a type check more and give nothing here.
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
        """Make a connection, which is not open yet; the arguments are `Connection`'s."""
        return Connection(self, on_push=on_push, on_lost=on_lost)

    def make_connection(self) -> Any:
        """Make one of redis-py's, not connected yet."""
        return self._client.connection_pool.make_connection()

    async def master(self) -> Node | None:
        """Ask the Sentinels where the master is; None where there are none, or none that knows one just now."""
        if not self.has_sentinels:
            return None
        manager = self._client.connection_pool.sentinel_manager
        with contextlib.suppress(RedisError, OSError):
            return Node(*await manager.discover_master(self._master))
        return None

    async def aclose(self) -> None:
        """Leave the Sentinels; links are their owners' to close."""
        for sentinel in sentinels_of(self._client):
            await sentinel.aclose()


class Connection(asyncio.Protocol):
    """One connection. `on_push` gets what nobody asked for, `on_lost` is called once when it is over.

    Commands are written at the end of the loop's turn and answered in order: whoever asks in the same turn
    shares a write, whose system call costs more than everything else about a command. `on_push` may give
    back a rest of its work; nothing else is handled before that is done.
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
        # asyncio's stream objects close the transport when they are collected.
        self._kept: tuple[Any, Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._rest: Rest | None = None
        self._paused = False
        self._out: list[bytes] = []
        self._heard_at = clock()
        self.server = Node("", 0)
        """Where it leads to, as it was named."""
        self.demoted = False
        """Whether the server there said that it takes no writes any more: another one is the master."""

    async def open(self, timeout_s: float = 5.0) -> None:
        """Connect; raises redis-py's errors, `OSError` or `TimeoutError`."""
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
        connection._reader = connection._writer = None  # it is ours now
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
        """The address of this end, empty where it is none of a network's."""
        name = self._transport.get_extra_info("sockname") if self._transport is not None else None
        return str(name[0]) if isinstance(name, tuple) else ""

    def waiting_s(self) -> float:
        """Tell for how long the oldest question has been without an answer; 0.0 for none."""
        return self._clock() - self._asked[0][0] if self._asked else 0.0

    def silent_s(self) -> float:
        """Tell for how long nothing at all has come."""
        return self._clock() - self._heard_at

    def ask(self, *command: str | bytes | float) -> asyncio.Future[Any]:
        """Send a command; the future gives its reply or raises `ReplyError` or `RedisUnavailable`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._transport is None:
            future.set_exception(RedisUnavailable("Redis is away"))
            return future
        self._asked.append((self._clock(), future))
        self.send(*command)
        return future

    def send(self, *command: str | bytes | float) -> None:
        """Send a command whose reply arrives as pushes; nothing happens while the connection is down."""
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
                    self._rest = self._take(reply)
                if self._clock() > deadline:
                    self._pause()
                    return
        except hiredis.ProtocolError:
            self.abort()
            return
        self._resume()

    def _take(self, reply: Any) -> Rest | None:
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
        """Let others run before the rest; Redis keeps what we don't read."""
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
        """End everything that waits, and tell the owner."""
        self._transport = self._kept = None
        # A message whose handling has begun is handled to its end: nobody would know where to take it up.
        while self._rest is not None:
            self._rest = self._rest()
        asked, self._asked = self._asked, deque()
        for _, future in asked:
            if not future.done():
                future.set_exception(AnswerLost("the connection to Redis broke"))
        self._on_lost()

    async def close(self) -> None:
        """Close quietly, at the end of the process."""
        self._on_lost = lambda: None
        if self._transport is not None:
            self._transport.abort()
            await asyncio.sleep(0)


async def _check_role(connection: Any) -> None:
    """Raise `RedisUnavailable` for a server that is no master: Sentinels may be late to know."""
    await connection.send_command("ROLE")
    role = await connection.read_response()
    if role[0] != b"master":
        await connection.disconnect(nowait=True)
        raise RedisUnavailable("what the Sentinels name is no master")
