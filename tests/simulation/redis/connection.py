"""One client's connection to the simulated Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import hiredis

from tests.simulation.redis.command import wrong_arity
from tests.simulation.redis.connection_commands import CONNECTION_COMMANDS
from tests.simulation.redis.replies import (
    LOADING,
    OUT_OF_MEMORY,
    READ_ONLY,
    Refused,
    array_header,
    bulk,
    error_bytes,
    resp2,
    resp3,
)

if TYPE_CHECKING:
    from tests.simulation.redis.server import RedisServer


class Connection(asyncio.Protocol):
    """One connection: it executes requests in order, and writes once for all that came together."""

    __slots__ = (
        "_waiting",
        "channels",
        "ident",
        "is_resp3",
        "name",
        "out",
        "patterns",
        "reader",
        "server",
        "transport",
    )

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        """None before the connection is made and after it is lost."""
        self.reader = hiredis.Reader()
        self.out: list[bytes] = []
        self.channels: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self.is_resp3 = False
        self.name = b""
        self.ident = server.next_ident()
        self._waiting: asyncio.TimerHandle | None = None
        """While a WAIT has no answer, later requests wait."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.server.connections[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            return
        self.reader.feed(data)
        if self._waiting is None:
            self._work()

    def drop(self) -> None:
        """Cut the connection."""
        transport = self.transport
        self._forget()
        if transport is not None:
            transport.abort()

    def close(self) -> None:
        """Close the connection after what was written so far."""
        self.flush()
        if self.transport is not None:
            self.transport.close()
        self._forget()

    def flush(self) -> None:
        """Write the replies and messages that are ready; cut a subscriber that reads too slowly."""
        if self.transport is None or not self.out:
            return
        self.transport.write(b"".join(self.out))
        self.out.clear()
        limit = self.server.output_limit_bytes
        if limit and self.subscriptions and self.transport.get_write_buffer_size() > limit:
            self.drop()

    def encode(self, reply: Any) -> bytes:
        """Return the bytes of a reply in the protocol that the client speaks."""
        return resp3(reply) if self.is_resp3 else resp2(reply)

    def push(self, *parts: Any) -> bytes:
        """Return the bytes of a message that answers no request."""
        encoded = b"".join([bulk(part) if type(part) is bytes else self.encode(part) for part in parts])
        return (b">%d\r\n" % len(parts) if self.is_resp3 else array_header(len(parts))) + encoded

    @property
    def subscriptions(self) -> int:
        """Return the number of channels and patterns that the client hears."""
        return len(self.channels) + len(self.patterns)

    def unsubscribe(self, channel: bytes) -> None:
        """End the subscription to a channel, if there is one."""
        self.channels.pop(channel, None)
        _leave(self.server.channels, channel, self)

    def unsubscribe_pattern(self, pattern: bytes) -> None:
        """End the subscription to a pattern, if there is one."""
        self.patterns.pop(pattern, None)
        _leave(self.server.patterns, pattern, self)

    def wait(self, timeout_ms: int, answer: Callable[[], bytes]) -> None:
        """Answer the present request after a time, and no other one before it."""
        self._waiting = asyncio.get_running_loop().call_later(timeout_ms / 1000, self._waited, answer)

    def _waited(self, answer: Callable[[], bytes]) -> None:
        self._waiting = None
        self.out.append(answer())
        self._work()

    def _work(self) -> None:
        server = self.server
        server.pending[self] = None
        server.keyspace.at(server.now_us())
        try:
            while self._waiting is None and self.transport is not None:
                request = self.reader.gets()
                if request is False:
                    break
                self.out.append(self._execute(request))
        except hiredis.ProtocolError:
            self.out.append(error_bytes(b"ERR Protocol error"))
            self.close()
        server.flush()

    def _execute(self, request: Any) -> bytes:
        if type(request) is not list or not request:
            return b""
        name, args = request[0], request[1:]
        own = CONNECTION_COMMANDS.get(name) or CONNECTION_COMMANDS.get(name.upper())
        try:
            if own is not None:
                _check_number(name, args, own.least, own.most)
                self._check_state(name, own.loading, own.while_subscribed)
                return own.handler(self, args)
            return self._on_data(name, args)
        except Refused as error:
            return error_bytes(error.text)

    def _on_data(self, name: bytes, args: list[bytes]) -> bytes:
        server = self.server
        command = server.commands.get(name) or server.commands.get(name.upper())
        if command is None:
            listed = b"".join([b"'%b' " % arg[:128] for arg in args])
            raise Refused(b"ERR unknown command '%b', with args beginning with: %b" % (name[:128], listed))
        handler, least, most, writes, denies_oom, loading = command
        _check_number(name, args, least, most)
        if denies_oom and server.out_of_memory:
            raise Refused(OUT_OF_MEMORY)
        if writes and server.read_only:
            raise Refused(READ_ONLY)
        self._check_state(name, loading, while_subscribed=False)
        reply = handler(server.keyspace, args)
        if writes:
            server.note([(handler, args)])
        return self.encode(reply)

    def _check_state(self, name: bytes, loading: bool, while_subscribed: bool) -> None:
        if self.subscriptions and not self.is_resp3 and not while_subscribed:
            raise Refused(
                b"ERR Can't execute '%b': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
                b"are allowed in this context" % name.lower()
            )
        if self.server.loading and not loading:
            raise Refused(LOADING)

    def _forget(self) -> None:
        """Forget the connection and its subscriptions."""
        self.transport = None
        self.out.clear()
        if self._waiting is not None:
            self._waiting.cancel()
        for channel in list(self.channels):
            self.unsubscribe(channel)
        for pattern in list(self.patterns):
            self.unsubscribe_pattern(pattern)
        self.server.connections.pop(self, None)
        self.server.pending.pop(self, None)


def _leave(subscribers: dict[bytes, dict[Connection, None]], name: bytes, connection: Connection) -> None:
    found = subscribers.get(name)
    if found is not None:
        found.pop(connection, None)
        if not found:
            del subscribers[name]


def _check_number(name: bytes, args: list[bytes], least: int, most: int) -> None:
    if len(args) < least or len(args) > most >= 0:
        raise wrong_arity(name)
