"""The publisher for code without asyncio: workers, scripts, WSGI."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any, Self

import redis
from redis.exceptions import NoScriptError

from publisher.buffer import BROKEN, Buffer, Counters, Item
from publisher.connecting import (
    BATCH,
    REPLICAS_TIMEOUT_MS,
    TIMEOUT_S,
    Sending,
    check_replicas,
    connection_options,
    new_backoff,
    note_drop,
    note_retry,
)
from publisher.envelope import Envelope, Options
from publisher.errors import PublishError
from publisher.scripts import SCRIPTS, command
from publisher.verbs import Receipt, Verbs

_log = logging.getLogger("publisher")


class Publisher(Verbs[Receipt]):
    """Publishes from any thread, in the order in which the calls were made.

    One daemon thread owns the connection, so that a call waits at most `timeout_s` whatever the network
    does. A process that forks (Celery's prefork pool, uWSGI) may make its publisher before the fork: the
    child begins with an empty buffer and a connection of its own, the parent keeps what it had.
    """

    def __init__(
        self, client: redis.Redis, *, options: Options | None = None, sending: Sending | None = None
    ) -> None:
        self._client = client
        self._options = options or Options()
        self._sending = sending or Sending()
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        """Start afresh, also in a forked child: there, a lock that another thread held stays locked."""
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._buffer = Buffer(self._sending.buffer_events, self._sending.buffer_bytes)
        self._thread: threading.Thread | None = None

    @classmethod
    def from_url(
        cls,
        url: object,
        *,
        options: Options | None = None,
        strict: bool = False,
        timeout_s: float = TIMEOUT_S,
        wait_replicas: int = 0,
        **connection: Any,
    ) -> Self:
        """Make a publisher for a Redis or Valkey URL; `connection` goes to redis-py as it is."""
        client = redis.Redis.from_url(str(url), **connection_options(connection))
        sending = Sending(strict=strict, timeout_s=timeout_s, wait_replicas=wait_replicas)
        return cls(client, options=options, sending=sending)

    @property
    def unsent(self) -> int:
        """How many events wait in the buffer, the ones under way among them."""
        return len(self._buffer) if self._pid == os.getpid() else 0

    @property
    def counters(self) -> Counters:
        """What this publisher has done so far, in this process."""
        return self._buffer.counters

    def close(self, timeout_s: float = 5.0) -> int:
        """Send what waits, for at most `timeout_s`, and disconnect; give how many events were left unsent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._thread is None or not len(self._buffer), timeout_s)
        if self._thread is not None and not len(self._buffer):
            self._thread.join(timeout_s)
        self._client.close()
        if len(self._buffer):
            _log.error("publisher closed with %d events unsent", len(self._buffer))
        return len(self._buffer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _send(self, envelope: Envelope) -> Receipt:
        if self._pid != os.getpid():
            self._begin()
        if self._closed:
            raise PublishError("the publisher is closed")
        waiter: Future[Receipt | PublishError] = Future()
        item = Item(envelope, waiter)
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_all, name="publisher", daemon=True)
                self._thread.start()
            note_drop(self._buffer.put(item), self._buffer.counters)
            self._changed.notify_all()
        wait((waiter,), timeout=self._sending.timeout_s)
        with self._changed:
            self._sending.give_up(self._buffer, item)
        return self._sending.outcome(waiter.result())

    def _send_all(self) -> None:
        backoff, failures = new_backoff(), 0
        while True:
            with self._changed:
                # One event alone after a failure: see AsyncPublisher.
                while not (items := self._buffer.take(1 if failures else BATCH)):
                    self._changed.notify_all()
                    if self._closed:
                        return
                    self._changed.wait()
            try:
                results: Sequence[Any] | Exception = self._execute(items)
            except BROKEN as error:
                results = error
            with self._changed:
                trouble = self._buffer.settle(items, results)
            if trouble is None:
                failures = 0
            elif isinstance(trouble, NoScriptError):
                self._load_scripts()
            else:
                failures += 1
                note_retry(failures, trouble, len(self._buffer))
                with self._changed:
                    self._changed.wait_for(lambda: False, backoff.compute(failures))

    def _execute(self, items: Sequence[Item]) -> Sequence[Any]:
        with self._client.pipeline(transaction=False) as pipe:
            for item in items:
                pipe.evalsha(*command(item.envelope))
            wanted = self._sending.wait_replicas
            if wanted:
                pipe.execute_command("WAIT", wanted, REPLICAS_TIMEOUT_MS)  # type: ignore[no-untyped-call]
            results = pipe.execute(raise_on_error=False)
        if wanted:
            check_replicas(results.pop(), wanted)
        return results

    def _load_scripts(self) -> None:
        with contextlib.suppress(*BROKEN):
            for script in SCRIPTS.values():
                self._client.script_load(script.source)
