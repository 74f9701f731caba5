"""The buffer of unsent events: a bounded queue of envelopes, and the rules for the outcome of a batch.

No I/O and no clock. Order is first in, first out, for each tenant. What was taken for sending stays at the head
until it is settled: after a failure it goes out again before anything else. Its number in the queue tells Redis
whether it has it already, so that a publish whose answer was lost is not doubled, however late it is tried again.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakSet

from redis.exceptions import (
    ClusterDownError,
    DataError,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from publisher.calls import KNOWN, STALE
from publisher.envelope import Envelope
from publisher.errors import PublishError
from publisher.ids import new_id
from publisher.verbs import Receipt

# Bytes of events in one batch, beside the first: Redis does nothing else while it takes those of a tenant.
BATCH_BYTES = 1 << 20
# For how long Redis knows what it took last from a queue.
LANE_TTL_S = 86_400.0
# For how long an event is tried again that Redis may have: well within that time, or it could be doubled.
RETRY_S = 82_800.0
# The connection broke: what was under way may or may not have been published.
BROKEN = (RedisConnectionError, RedisTimeoutError, OSError)
# The server is there and will not take writes just now.
_UNWILLING = (ReadOnlyError, OutOfMemoryError, ClusterDownError, MasterDownError, TryAgainError)
# Redis 6 hides the code of what a script's own command was refused with: "ERR Error running script ...: -OOM ...".
_UNWILLING_CODE = re.compile(r"(?:^|: -)(?:BUSY|LOADING|MISCONF|NOREPLICAS|OOM|READONLY|UNKILLABLE)\b")

_log = logging.getLogger("publisher")


class Waiter(Protocol):
    """A future, asyncio's or the blocking kind; its result is a receipt or the error to raise."""

    def done(self) -> bool:
        """Return whether it has its outcome or was cancelled."""

    def set_result(self, result: Receipt | PublishError) -> None:
        """Answer the caller with its outcome."""


@dataclass(slots=True, eq=False)
class Item:
    """One envelope in the buffer and whoever waits for it."""

    envelope: Envelope
    waiter: Waiter
    under_way: bool = False
    attempted: bool = False
    """It was sent before and nobody knows whether it arrived."""
    abandoned: bool = False
    """Its caller gave up while it was under way: it must not be sent again."""
    number: int = 0
    """Its place in the queue; a later item's is higher."""
    tried_at: float = math.inf
    """When it was sent for the first time."""


@dataclass(slots=True)
class Counters:
    """The counters of a publisher since it was made. Each only grows."""

    sent: int = 0
    """Events that Redis took."""
    duplicates: int = 0
    """Events that Redis knew already, by their key or version."""
    queued: int = 0
    """Calls that were answered with `queued=True`."""
    dropped: int = 0
    """Events lost because the buffer was full, the oldest first."""
    failed: int = 0
    """Events given up: Redis refused them for good, or they were ephemeral and the connection broke."""
    uncertain: int = 0
    """Events given up though Redis may have them: their answer was lost, and Redis away for almost a day."""
    retries: int = 0
    """Batches that had to be sent again."""


class Buffer:
    """The queue. `take` marks the head as under way; `settle` ends that."""

    def __init__(self, max_events: int, max_bytes: int, retry_s: float = RETRY_S) -> None:
        self.lane = new_id(9)
        """Names the queue that items have their numbers in."""
        self.counters = Counters()
        self._items: deque[Item] = deque()
        self._number = 0
        self._events = 0
        self._under_way = 0
        self._bytes = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._retry_s = retry_s
        _buffers.add(self)

    def __len__(self) -> int:
        """Count the events in it; an envelope may hold two."""
        return self._events

    def put(self, item: Item) -> int:
        """Append an item; return how many of the oldest events had to be dropped for it.

        What is under way is never dropped, nor the item itself.
        """
        self._number = item.number = self._number + 1
        self._items.append(item)
        self._events += item.envelope.events
        self._bytes += item.envelope.size
        dropped = 0
        while len(self._items) - self._under_way > 1 and (
            self._events > self._max_events or self._bytes > self._max_bytes
        ):
            oldest = self._items[self._under_way]
            self._remove(oldest)
            self.counters.dropped += oldest.envelope.events
            dropped += oldest.envelope.events
            text = "the buffer is full: the event was dropped"
            _answer(oldest, PublishError(text, maybe_published=oldest.attempted))
        return dropped

    def take(self, most: int, now: float, of: Callable[[Item], Hashable] | None = None) -> list[Item]:
        """Return the head of the queue for sending, in order; with `of`, as far as that gives the same for each.

        Of a tenant it has what goes into one call, or Redis could refuse one and take the next. `now` is a time in
        seconds; what was tried long ago, and may have been published, is given up first.
        """
        while self._items and self._items[0].attempted and now - self._items[0].tried_at > self._retry_s:
            self._give_up(self._items[0])
        items: list[Item] = []
        scripts: dict[str, str] = {}
        size = 0
        for item in self._items:
            envelope = item.envelope
            script = scripts.setdefault(envelope.tenant, envelope.script)
            size += envelope.size
            if items and (
                len(items) >= most
                or size > BATCH_BYTES
                or script != envelope.script
                or (script == "control" and envelope.tenant == items[-1].envelope.tenant)
                or (of is not None and of(item) != of(items[0]))
            ):
                break
            items.append(item)
        for item in items:
            item.under_way = True
            item.tried_at = min(item.tried_at, now)
        self._under_way = len(items)
        return items

    def withdraw(self, item: Item) -> bool:
        """Take back an item whose caller gave up, so that it is not sent any more; False when it may have been."""
        if item.under_way:
            item.abandoned = True
            return False
        self._remove(item)
        return not item.attempted

    def settle(self, items: Sequence[Item], results: Sequence[Any] | Exception) -> Exception | None:
        """Answer the callers of a batch that was taken; return the error after which to try again, if any.

        `results` is what Redis said of each item, an exception among them where it refused that one and None where
        it looked at none behind one that it refused; or one exception for a batch whose connection broke. Items to
        be tried again stay at the head.
        """
        self._under_way = 0
        trouble: Exception | None = None
        for i, item in enumerate(items):
            item.under_way = False
            result = results if isinstance(results, Exception) else results[i]
            if result is None:
                if item.abandoned:
                    self._remove(item)
                continue
            if not isinstance(result, Exception) or not is_passing(result):
                self._finish(item, result)
                continue
            trouble = trouble or result
            item.attempted = item.attempted or isinstance(result, BROKEN)
            if item.abandoned:
                self._remove(item)
            elif item.attempted and item.envelope.ephemeral:
                # It may have arrived, and has no key that would keep a second one out.
                self._finish(item, result)
        if trouble is not None:
            self.counters.retries += 1
        return trouble

    def close(self) -> None:
        """Answer everybody who still waits: nothing more will be sent."""
        for item in self._items:
            maybe = item.under_way or item.attempted
            _answer(
                item, PublishError("the publisher was closed before the event was sent", maybe_published=maybe)
            )

    def _give_up(self, item: Item) -> None:
        self._remove(item)
        self.counters.uncertain += item.envelope.events
        error = PublishError("nobody can tell any more whether Redis has the event", maybe_published=True)
        if not _answer(item, error):
            _log.error("event given up: %s", error)

    def _finish(self, item: Item, result: Any) -> None:
        self._remove(item)
        if isinstance(result, Exception):
            self.counters.failed += item.envelope.events
            error = result if isinstance(result, PublishError) else None
            error = error or PublishError(f"Redis refused the event: {result}", maybe_published=item.attempted)
            if not _answer(item, error) and not item.envelope.ephemeral:
                _log.error("event lost: %s", error)
            return
        # A key that is known when an event is sent again is that of its own first attempt.
        duplicates = [status == STALE or (status == KNOWN and not item.attempted) for status, _ in result]
        self.counters.duplicates += sum(duplicates)
        self.counters.sent += len(duplicates) - sum(duplicates)
        # Of two events the first is the one that was asked for.
        _answer(item, Receipt(result[0].offset, duplicates[0]))

    def _remove(self, item: Item) -> None:
        if self._items[0] is item:
            self._items.popleft()
        else:
            self._items.remove(item)
        self._events -= item.envelope.events
        self._bytes -= item.envelope.size


# Two processes that count in one lane would be taken for one, and the events of one for repeated ones.
_buffers: WeakSet[Buffer] = WeakSet()


def _rename_in_child() -> None:
    for buffer in _buffers:
        buffer.lane = new_id(9)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_rename_in_child)


def is_passing(error: Exception) -> bool:
    """Return whether the same publish may well succeed later, without anyone changing anything here."""
    if isinstance(error, (*BROKEN, *_UNWILLING, NoScriptError)):
        return True
    if isinstance(error, ResponseError):
        return _UNWILLING_CODE.search(str(error)) is not None
    return not isinstance(error, (DataError, PublishError))


def _answer(item: Item, outcome: Receipt | PublishError) -> bool:
    """Answer the caller; False when it has gone on already."""
    if item.waiter.done():
        return False
    item.waiter.set_result(outcome)
    return True
