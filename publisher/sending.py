"""The part that both publishers share beside their verbs: limits, patience, connections, log lines."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from redis.backoff import AbstractBackoff, EqualJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from publisher.buffer import RETRY_S, Buffer, Counters, Item
from publisher.errors import PublishError
from publisher.verbs import Receipt

_log = logging.getLogger("publisher")

# Events in one write: enough to drain a backlog fast, little enough to answer the first one soon.
BATCH = 64
# How long Redis may wait for its replicas, where `wait_replicas` asks for them.
REPLICAS_TIMEOUT_MS = 1000
# How long a call waits for Redis.
TIMEOUT_S = 0.25
# How long a node of a cluster is waited for that is asked who has what, before the next is.
REFRESH_TIMEOUT_S = 1.0
# How often a pause doubles at most: by far enough for any cap.
MOST_DOUBLINGS = 64


@dataclass(frozen=True, slots=True)
class Sending:
    """The patience and the buffer of a publisher."""

    strict: bool = False
    """Raise `PublishError` instead of keeping an event that could not be sent in time."""
    timeout_s: float = TIMEOUT_S
    """How long a call waits for Redis."""
    buffer_events: int = 10_000
    """Events kept while Redis is away (in a cluster: for each shard); beyond that the oldest are dropped, counted
    and logged."""
    buffer_bytes: int = 64 * 1024 * 1024
    wait_replicas: int = 0
    """Replicas of Redis that must have an event before it counts as sent; until they do it is sent again."""
    retry_s: float = RETRY_S
    """How long an event is tried again that Redis may have: well within the time for which Redis knows that."""

    def give_up(self, buffer: Buffer, item: Item) -> None:
        """Answer a caller whose wait is over: its event stays in the buffer, or is withdrawn where strict."""
        if item.waiter.done():
            return
        if not self.strict:
            buffer.counters.queued += 1
            item.waiter.set_result(Receipt(None, queued=True))
            return
        withdrawn = buffer.withdraw(item)
        error = PublishError(f"Redis did not answer within {self.timeout_s:g} s", maybe_published=not withdrawn)
        item.waiter.set_result(error)

    def outcome(self, result: Receipt | PublishError) -> Receipt:
        """Return the receipt for a caller, or raise `PublishError` where strict."""
        if not isinstance(result, PublishError):
            return result
        if self.strict:
            raise result
        _log.error("event lost: %s", result)
        return Receipt(None, refused=result.code)


def check_replicas(results: list[Any], wanted: int) -> None:
    """Take the answer to WAIT off a batch's; raise what makes it be sent again when too few replicas have it.

    A master that has just become a replica answers WAIT with an error, and each event with what is to be done.
    """
    found = results.pop()
    if all(isinstance(result, Exception) for result in results):
        return
    if isinstance(found, Exception) or int(found) < wanted:
        raise RedisTimeoutError(f"{found} of {wanted} replicas have the event")


def unowned(slot: int) -> NoReturn:
    """Raise what an event waits for: that some node says it has its slot."""
    raise RedisConnectionError(f"no node of the cluster that answers knows who has slot {slot}")


def connection_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return redis-py's options with our defaults under the caller's.

    Retrying is ours, in order and with the same key, so redis-py's own is off; a connection that
    answers nothing is given up after 5 s.
    """
    ours = {
        "socket_connect_timeout": 2.0,
        "socket_timeout": 5.0,
        "socket_keepalive": True,
        "health_check_interval": 30,
        "retry": Retry(NoBackoff(), 0),
        "client_name": "publisher",
    }
    return ours | dict(given)


class Backoff(EqualJitterBackoff):
    """Pauses that double up to a cap, with jitter, for outages of any length.

    redis-py's own raises `OverflowError` at the 1,024th failure: with half a second each, that is after some six
    minutes, and whoever was to connect again never would.
    """

    def compute(self, failures: int) -> float:
        """Return the pause after so many failures in a row, in seconds."""
        return float(super().compute(min(failures, MOST_DOUBLINGS)))


def new_backoff() -> AbstractBackoff:
    """Return the pauses between attempts while Redis is away: 25 ms to half a second, with jitter."""
    return Backoff(cap=0.5, base=0.05)


class SendWindow:
    """The size of the next batch and the pause before it, from the outcome of the last attempts.

    The first event, and the first after a failure, goes ahead alone, to find out whether the server takes any.
    """

    def __init__(self) -> None:
        self.most = 1
        """Events to send in one go."""
        self.failures = 0
        """Attempts in a row that failed."""
        self._loaded = False
        self._backoff = new_backoff()

    def wants_scripts(self, trouble: Exception | None) -> bool:
        """Note how a batch went; True when loading the scripts is all that is to be done about it."""
        if trouble is None:
            self.most, self.failures, self._loaded = BATCH, 0, False
            return False
        self.most = 1
        if isinstance(trouble, NoScriptError) and not self._loaded:
            self._loaded = True
            return True
        self.failures += 1
        self._loaded = False
        return False

    def pause_s(self) -> float:
        """Return the pause before the next attempt."""
        return float(self._backoff.compute(self.failures))


def note_drop(dropped: int, counters: Counters) -> None:
    """Say that events were lost to a full buffer: the first time, and then at every thousandth."""
    if (dropped and counters.dropped % 1000 < dropped) or 0 < counters.dropped == dropped:
        _log.error("buffer full: %d events dropped so far, the oldest first", counters.dropped)


def note_retry(failures: int, trouble: Exception, unsent: int) -> None:
    """Say that Redis does not take events: at the first failure, and then ever more rarely."""
    if failures & (failures - 1) == 0:
        _log.warning("Redis takes no events (%s), %d wait; attempt %d", trouble, unsent, failures)
