"""Shared parts of both publishers' senders: timeouts, batch sizes, connection options, retries, log lines."""

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

from publisher.buffer import RETRY_S, Buffer, Item
from publisher.counters import Counters
from publisher.errors import PublishError
from publisher.verbs import Receipt

_log = logging.getLogger("publisher")

# Envelopes in one batch: enough to empty a backlog fast, few enough that the first caller gets its answer soon.
BATCH = 64
# How long WAIT waits for Redis' replicas, if `wait_replicas` is set.
REPLICAS_TIMEOUT_MS = 1000
# How long a call waits for Redis by default.
TIMEOUT_S = 0.25
# How long to wait for a cluster node's CLUSTER SLOTS before the next node is asked.
REFRESH_TIMEOUT_S = 1.0
# More doublings of a pause are not counted: 2**64 exceeds any cap, and a float still holds it.
MOST_DOUBLINGS = 64


@dataclass(frozen=True, slots=True)
class Sending:
    """The options for sending: how long to wait, how much to buffer, how long to retry."""

    strict: bool = False
    """Raise `PublishError` for an event that is refused or late, instead of logging or buffering it."""
    timeout_s: float = TIMEOUT_S
    """Seconds that a call waits for Redis."""
    buffer_events: int = 10_000
    """Events buffered while Redis is away (in a cluster: per shard). If more come, the oldest are dropped, counted
    and logged."""
    buffer_bytes: int = 64 * 1024 * 1024
    wait_replicas: int = 0
    """Redis replicas that must have an event before it counts as sent; until then it is sent again."""
    retry_s: float = RETRY_S
    """Seconds to retry an event that Redis may have; keep it below the time for which Redis can recognize it."""

    def give_up(self, buffer: Buffer, item: Item) -> None:
        """Answer a caller after its timeout: keep its event in the buffer, or withdraw it if `strict`."""
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
        """Return the caller's receipt; raise an error if `strict`, else log it and return an empty receipt."""
        if not isinstance(result, PublishError):
            return result
        if self.strict:
            raise result
        _log.error("event lost: %s", result)
        return Receipt(None, refused=result.code)


def check_replicas(results: list[Any], wanted: int) -> None:
    """Remove WAIT's answer from a batch's answers; raise a timeout, which leads to a retry, for too few replicas.

    If every call failed, the calls' own errors decide: a master that has just become a replica refuses WAIT, too.
    """
    found = results.pop()
    if all(isinstance(result, Exception) for result in results):
        return
    if isinstance(found, Exception) or int(found) < wanted:
        raise RedisTimeoutError(f"{found} of {wanted} replicas have the event")


def unowned(slot: int) -> NoReturn:
    """Raise the error for a slot without a known owner; its events wait until a node claims the slot."""
    raise RedisConnectionError(f"no node of the cluster that answers knows who has slot {slot}")


def connection_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return redis-py's options: the caller's, and our defaults for the others.

    The publisher retries by itself, in order and with the same key, so redis-py's retries are off. A connection
    that does not answer is closed after 5 s.
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

    redis-py's own class raises `OverflowError` at the 1,024th failure: with pauses of half a second that comes
    after some six minutes, and nothing would connect again.
    """

    def compute(self, failures: int) -> float:
        """Return the pause in seconds after this many failures in a row."""
        return float(super().compute(min(failures, MOST_DOUBLINGS)))


def new_backoff() -> AbstractBackoff:
    """Return the pauses between attempts while Redis is away: 50 to 100 ms at first, later 250 to 500 ms."""
    return Backoff(cap=0.5, base=0.05)


class SendWindow:
    """Decides the size of the next batch and the pause before it, from the outcomes of earlier batches.

    The first event, and the first after a failure, is sent alone to test whether the server takes events.
    """

    def __init__(self) -> None:
        self.most = 1
        """Largest number of envelopes in the next batch."""
        self.failures = 0
        """Batches in a row that failed."""
        self._loaded = False
        self._backoff = new_backoff()

    def wants_scripts(self, trouble: Exception | None) -> bool:
        """Record a batch's outcome; return whether to load the scripts and retry without a pause."""
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
        """Return the pause before the next attempt, in seconds."""
        return float(self._backoff.compute(self.failures))


def note_drop(dropped: int, counters: Counters) -> None:
    """Log that the full buffer dropped events: at the first one, and then at every thousandth."""
    if (dropped and counters.dropped % 1000 < dropped) or 0 < counters.dropped == dropped:
        _log.error("buffer full: %d events dropped so far, the oldest first", counters.dropped)


def note_retry(failures: int, trouble: Exception, unsent: int) -> None:
    """Log that Redis takes no events: at the 1st failure in a row, the 2nd, the 4th, the 8th and so on."""
    if failures & (failures - 1) == 0:
        _log.warning("Redis takes no events (%s), %d wait; attempt %d", trouble, unsent, failures)
