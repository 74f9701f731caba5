"""Threads in the simulation: greenlets, of which one runs at a time, in the turns of their process.

Code that blocks runs unchanged on it: a thread that waits for others, bytes or time gives the turn back.
Real threads are switched anywhere; these only where they block, and sometimes where they take a lock.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, Final

import redis

from tests.simulation.process import Process

_greenlets: Any = importlib.import_module("greenlet")

# The share of locks before which another thread has its turn.
SWITCHES: Final = 0.2


def _process() -> Process:
    process = asyncio.get_running_loop()
    assert isinstance(process, Process)
    return process


def block(future: asyncio.Future[Any], timeout_s: float | None = None) -> bool:
    """Let others run until a future is done; return whether it is, as opposed to the time being over."""
    me = _greenlets.getcurrent()
    if not future.done():
        woken = _process().create_future()

        def wake(_: object = None) -> None:
            if not woken.done():
                woken.set_result(None)

        woken.add_done_callback(lambda _: me.switch())
        future.add_done_callback(wake)
        timer = None if timeout_s is None else _process().call_later(timeout_s, wake)
        assert me.parent is not None
        me.parent.switch()
        if timer is not None:
            timer.cancel()
    return future.done()


class Thread:
    """`threading.Thread`, of the process in whose turn it is started."""

    def __init__(self, *, target: Callable[[], object], name: str = "", daemon: bool = False) -> None:
        self._target = target
        self._done: asyncio.Future[None] | None = None

    def start(self) -> None:
        process = _process()
        self._done = process.create_future()
        process.call_soon(_greenlets.greenlet(self._run, process.hub).switch)

    def _run(self) -> None:
        try:
            self._target()
        finally:
            assert self._done is not None
            self._done.set_result(None)

    def join(self, timeout: float | None = None) -> None:
        assert self._done is not None
        block(self._done, timeout)


class Condition:
    """`threading.Condition`. Nothing blocks while it has the lock, so that the lock is always free."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def __enter__(self) -> None:
        process = _process()
        if _greenlets.getcurrent().parent is not None and process.world.random.random() < SWITCHES:
            turn = process.create_future()
            process.call_soon(turn.set_result, None)
            block(turn)

    def __exit__(self, *exc: object) -> None:
        """Release the lock."""

    def notify_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        until = None if timeout is None else _process().monotonic() + timeout
        while not (result := predicate()):
            left_s = None if until is None else until - _process().monotonic()
            if left_s is not None and left_s <= 0:
                break
            future = _process().create_future()
            self._waiting.append(future)
            block(future, left_s)
        return result


def wait(futures: Iterable[Future[Any]], timeout: float | None = None) -> None:
    """As `concurrent.futures.wait` for one future."""
    [future] = futures
    done = _process().create_future()

    def finish(_: object) -> None:
        if not done.done():
            done.set_result(None)

    future.add_done_callback(finish)
    block(done, timeout)


class _Incoming(asyncio.Protocol):
    """What has come on a connection, and whether it has ended."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.data = bytearray()
        self.error: Exception | None = None
        self.has_ended = False
        self.is_writable = True
        self._waiting: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._changed()

    def eof_received(self) -> bool:
        self.has_ended = True
        self._changed()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_ended = True
        self.error = exc
        self._changed()

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        self._changed()

    def wait(self, ready: Callable[[], bool], timeout_s: float | None) -> None:
        """Wait until something is so, or the connection has ended; raise `TimeoutError` when the time is over."""
        until = None if timeout_s is None else _process().monotonic() + timeout_s
        while not (ready() or self.has_ended):
            left_s = None if until is None else until - _process().monotonic()
            if left_s is not None and left_s <= 0:
                raise TimeoutError("timed out")
            self._waiting = _process().create_future()
            block(self._waiting, left_s)

    def _changed(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class BlockingSocket:
    """A connected `socket.socket`, as far as redis-py uses it."""

    def __init__(self, host: str, port: int, timeout_s: float | None) -> None:
        self._incoming = _Incoming()
        self._timeout_s: float | None = None
        process = _process()
        connecting = process.create_task(process.create_connection(lambda: self._incoming, host, port))
        if not block(connecting, timeout_s):
            connecting.cancel()
            raise TimeoutError("timed out")
        connecting.result()

    @property
    def has_data(self) -> bool:
        return bool(self._incoming.data)

    @property
    def has_ended(self) -> bool:
        return self._incoming.has_ended

    def settimeout(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s

    def recv_into(self, buffer: bytearray) -> int:
        incoming = self._incoming
        incoming.wait(lambda: bool(incoming.data), self._timeout_s)
        size = min(len(incoming.data), len(buffer))
        if not size and incoming.error is not None:
            raise incoming.error
        buffer[:size] = incoming.data[:size]
        del incoming.data[:size]
        return size

    def sendall(self, data: bytes) -> None:
        incoming = self._incoming
        if incoming.error is not None or incoming.transport.is_closing():
            raise BrokenPipeError(32, "Broken pipe")
        incoming.transport.write(bytes(data))
        incoming.wait(lambda: incoming.is_writable, self._timeout_s)

    def getpeername(self) -> tuple[str, int]:
        name: tuple[str, int] = self._incoming.transport.get_extra_info("peername")
        return name

    def shutdown(self, how: int) -> None:
        """Leave it to `close`."""

    def close(self) -> None:
        self._incoming.transport.close()


class BlockingConnection(redis.Connection):
    """redis-py's connection, on a socket of the simulation."""

    def _connect(self) -> Any:
        found = BlockingSocket(self.host, self.port, self.socket_connect_timeout)
        found.settimeout(self.socket_timeout)
        return found

    def can_read(self, timeout: float = 0) -> bool:
        """Return whether something waits to be read; raise redis-py's error if the connection is lost."""
        found: Any = self._sock
        if found.has_ended and not found.has_data:
            raise redis.ConnectionError("Connection closed by server.")
        return bool(found.has_data)


def install() -> None:
    """Have the blocking publisher use these threads, for the rest of the process."""
    threads = SimpleNamespace(Thread=Thread, Condition=Condition)
    for name in ("publisher.blocking.lane", "publisher.blocking.publisher"):
        importlib.import_module(name).threading = threads  # type: ignore[attr-defined]
    importlib.import_module("publisher.blocking.publisher").wait = wait  # type: ignore[attr-defined]
