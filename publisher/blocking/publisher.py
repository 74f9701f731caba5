"""The publisher for code without asyncio: workers, scripts, WSGI."""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import Future, wait
from typing import Any, Self
from weakref import WeakSet

import redis

from publisher.address import parse_address
from publisher.blocking.lane import Lane, Servers
from publisher.buffer import Counters, Item
from publisher.envelope import Envelope, Options, Validate, validating
from publisher.errors import PublishError
from publisher.lanes import Lanes, sharded
from publisher.sending import TIMEOUT_S, Sending, connection_options
from publisher.verbs import Receipt, Verbs

_log = logging.getLogger("publisher")


class Publisher(Verbs[Receipt]):
    """Publishes from any thread, in the order in which the calls were made.

    One daemon thread owns the connection (in a cluster: one for each shard), so that a call waits at most
    `timeout_s` whatever the network does. A process that forks (Celery's prefork pool, uWSGI) may make its
    publisher before the fork: the child begins with an empty buffer and a connection of its own, the parent keeps
    what it had.
    """

    def __init__(
        self,
        client: redis.Redis | Servers,
        *,
        options: Options | None = None,
        sending: Sending | None = None,
    ) -> None:
        self._servers = client if isinstance(client, Servers) else Servers(client)
        self._options = options or Options()
        self._sending = sending or Sending()
        self._closed = False
        self._begin()
        _publishers.add(self)

    def _begin(self) -> None:
        """Start with empty buffers and no thread, also in a forked child."""
        changed = self._changed = threading.Condition()
        self._lanes = Lanes(self._servers.topology, lambda: Lane(self._servers, self._sending, changed))

    @classmethod
    def from_url(
        cls,
        url: object,
        *,
        options: Options | None = None,
        strict: bool = False,
        timeout_s: float = TIMEOUT_S,
        wait_replicas: int = 0,
        validate: Validate | None = None,
        **connection: Any,
    ) -> Self:
        """Make a publisher for a Redis or Valkey URL, of Sentinels and a cluster too, see `publisher.address`.

        With `validate` events are held to their types in `publisher.events`: "warn" logs, once for each field,
        "raise" raises `InvalidEvent` at the call. `connection` goes to redis-py as it is. Raises `ValueError` for
        a URL that is none.
        """
        options = validating(options, validate)
        address = parse_address(url)
        servers = Servers.at(address, connection_options(connection))
        sending = Sending(strict=strict, timeout_s=timeout_s, wait_replicas=wait_replicas)
        return cls(servers, options=sharded(options) if address.kind == "cluster" else options, sending=sending)

    @property
    def unsent(self) -> int:
        """Return the number of events that wait in the buffer, the ones under way among them."""
        with self._changed:
            return self._lanes.unsent

    @property
    def counters(self) -> Counters:
        """Return the counters of this publisher, in this process."""
        with self._changed:
            return self._lanes.counters()

    def close(self, timeout_s: float = 5.0) -> int:
        """Send what waits, for at most `timeout_s`, and disconnect; return how many events were left unsent."""
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


# A fork takes over no threads, and whatever lock one of them held stays locked.
_publishers: WeakSet[Publisher] = WeakSet()


def _begin_in_child() -> None:
    for publisher in list(_publishers):
        publisher._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)
