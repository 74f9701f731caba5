"""The publisher for code without asyncio: workers, scripts, WSGI."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any, Self
from weakref import WeakSet

import redis

from publisher.buffer import Buffer, Counters, Item
from publisher.connecting import (
    REPLICAS_TIMEOUT_MS,
    TIMEOUT_S,
    Pace,
    Sending,
    check_replicas,
    connection_options,
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
        _publishers.add(self)

    def _begin(self) -> None:
        """Start with an empty buffer and no thread, also in a forked child."""
        self._changed = threading.Condition()
        self._buffer = Buffer(self._sending.buffer_events, self._sending.buffer_bytes)
        self._thread: threading.Thread | None = None
        self._given_up = False

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
        return len(self._buffer)

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
            # What is reported as unsent stays unsent.
            self._given_up = True
            self._buffer.close()
            self._changed.notify_all()
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
        waiter: Future[Receipt | PublishError] = Future()
        item = Item(envelope, waiter)
        with self._changed:
            if self._closed:
                raise PublishError("the publisher is closed")
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
        pace = Pace()
        while (items := self._next(pace.most)) is not None:
            try:
                results: Sequence[Any] | Exception = self._execute(items)
            except Exception as error:  # noqa: BLE001  # the buffer knows which ones pass
                results = error
            with self._changed:
                trouble = self._buffer.settle(items, results)
                self._changed.notify_all()
            if pace.wants_scripts(trouble):
                self._load_scripts()
            elif trouble is not None:
                note_retry(pace.failures, trouble, len(self._buffer))
                with self._changed:
                    self._changed.wait_for(lambda: self._given_up, pace.pause_s())

    def _next(self, most: int) -> list[Item] | None:
        """Wait for something to send; None when nothing will be sent any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._given_up or self._closed or len(self._buffer))
            return None if self._given_up else self._buffer.take(most) or None

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
        try:
            for script in SCRIPTS.values():
                self._client.script_load(script.source)
        except Exception as error:  # noqa: BLE001  # the next attempt shows whether it matters
            _log.warning("can't load the scripts: %s", error)


# A fork takes over no threads, and whatever lock one of them held stays locked.
_publishers: WeakSet[Publisher] = WeakSet()


def _begin_in_child() -> None:
    for publisher in list(_publishers):
        publisher._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)
