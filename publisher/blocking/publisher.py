"""The publisher for code without asyncio: workers, scripts, WSGI."""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import Future, wait
from typing import Self
from weakref import WeakSet

import redis

from publisher.base import PublisherBase
from publisher.blocking.lane import Lane
from publisher.blocking.servers import Servers
from publisher.buffer import Item
from publisher.counters import Counters
from publisher.envelope import Envelope, Options
from publisher.errors import PublishError
from publisher.lanes import Lanes
from publisher.sending import Sending
from publisher.verbs import Receipt

_log = logging.getLogger("publisher")


class Publisher(PublisherBase[Receipt, Servers]):
    """Publishes from any thread, in the order of the calls.

    One daemon thread owns the connection (in a cluster: one per shard), so a call waits at most `timeout_s`,
    even if the network hangs. A process that forks (Celery's prefork pool, uWSGI) may create its publisher before
    the fork: the child starts with an empty buffer and its own connection, and the parent keeps its events.
    """

    _servers_at = Servers.at

    def __init__(
        self,
        client: redis.Redis | Servers,
        *,
        options: Options | None = None,
        sending: Sending | None = None,
    ) -> None:
        super().__init__(
            client if isinstance(client, Servers) else Servers(client), options=options, sending=sending
        )
        self._start_empty()
        _publishers.add(self)

    def _start_empty(self) -> None:
        """Start with empty buffers and no thread, also in a forked child."""
        changed = self._changed = threading.Condition()
        self._lanes = Lanes(self._servers.topology, lambda: Lane(self._servers, self._sending, changed))

    @property
    def unsent(self) -> int:
        """Return the number of events in the buffer, including those under way."""
        with self._changed:
            return self._lanes.unsent

    @property
    def counters(self) -> Counters:
        """Return the numbers of events that this process sent, buffered, dropped and refused: see `Counters`."""
        with self._changed:
            return self._lanes.counters()

    def close(self, timeout_s: float = 5.0) -> int:
        """Send events for at most `timeout_s` seconds, then disconnect; return the number of unsent events."""
        with self._changed:
            self._closed = True
            lanes = list(self._lanes)
        until = time.monotonic() + timeout_s
        for lane in lanes:
            lane.close(max(until - time.monotonic(), 0.0))
        self._servers.close()
        unsent = self.unsent
        if unsent:
            _log.error("publisher closed with %d events unsent", unsent)
        return unsent

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
            lane = self._lanes.of(envelope)
            lane.put(item)
        wait((waiter,), timeout=self._sending.timeout_s)
        with self._changed:
            self._sending.give_up(lane.buffer, item)
        return self._sending.outcome(waiter.result())


# A forked child has no threads, and a lock that one of them held stays locked.
_publishers: WeakSet[Publisher] = WeakSet()


def _start_empty_in_child() -> None:
    for publisher in list(_publishers):
        publisher._start_empty()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_empty_in_child)
