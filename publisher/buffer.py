"""The buffer of unsent events: a bounded queue of envelopes, and the rules for the outcome of a batch.

No I/O and no clock. Each tenant's events are sent in the order in which they came. A batch stays at the head until
`settle` gets its outcome; after a failure it is sent again before all others. Each item has a number in the lane,
by which Redis recognizes it: a publish whose answer was lost is not doubled when it is retried.
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
from publisher.counters import Counters
from publisher.envelope import Envelope
from publisher.errors import PublishError
from publisher.ids import new_id
from publisher.verbs import Receipt

# Bytes of a batch, unless one event alone is larger: Redis does nothing else while it takes a tenant's events.
BATCH_BYTES = 1 << 20
# How long Redis remembers the last number that it took from a lane.
LANE_TTL_S = 86_400.0
# How long to retry an event that Redis may have: well below LANE_TTL_S, or it could be published twice.
RETRY_S = 82_800.0
# The connection broke: Redis may or may not have published the events under way.
BROKEN = (RedisConnectionError, RedisTimeoutError, OSError)
# The server can be reached, but takes no writes at the moment.
_UNWILLING = (ReadOnlyError, OutOfMemoryError, ClusterDownError, MasterDownError, TryAgainError)
# Redis 6 wraps the error of a command inside a script, with its code: "ERR Error running script ...: -OOM ...".
_UNWILLING_CODE = re.compile(r"(?:^|: -)(?:BUSY|LOADING|MISCONF|NOREPLICAS|OOM|READONLY|UNKILLABLE)\b")

_log = logging.getLogger("publisher")


class Waiter(Protocol):
    """A future of asyncio or of `concurrent.futures`; its result is a receipt or the error to raise."""

    def done(self) -> bool:
        """Return whether the future has a result or was cancelled."""

    def set_result(self, result: Receipt | PublishError) -> None:
        """Answer the caller with a receipt or an error."""


@dataclass(slots=True, eq=False)
class Item:
    """One envelope in the buffer, and the future of its caller."""

    envelope: Envelope
    waiter: Waiter
    under_way: bool = False
    attempted: bool = False
    """Whether it was sent before and the answer was lost, so that Redis may have it."""
    abandoned: bool = False
    """Whether its caller gave up while it was under way, so that it must not be sent again."""
    number: int = 0
    """Its number in the lane; a later item's is higher."""
    tried_at: float = math.inf
    """Time of the first attempt in seconds, by the clock of `Buffer.take`'s callers; infinite before it."""


class Buffer:
    """The queue of one lane. `take` marks the head as under way; `settle` ends that."""

    def __init__(self, max_events: int, max_bytes: int, retry_s: float = RETRY_S) -> None:
        self.lane = new_id(9)
        """Random name of the lane, to which the items' numbers belong."""
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
        """Return the number of events in the buffer; an envelope may hold two."""
        return self._events

    def put(self, item: Item) -> int:
        """Append an item; return the number of oldest events that were dropped to make room.

        Items under way are never dropped, nor is the new item.
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
        """Return the next batch, in order: at most `most` items; with `of`, only items with the same `of(item)`.

        Each tenant's items fit into one script call: of two calls Redis could refuse the first and take the
        second. `now` is a time in seconds; items at the head that Redis may have, first sent more than `retry_s`
        before it, are given up.
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
        """Make sure that an item is not sent again; return whether Redis can't have it."""
        if item.under_way:
            item.abandoned = True
            return False
        self._remove(item)
        return not item.attempted

    def settle(self, items: Sequence[Item], results: Sequence[Any] | Exception) -> Exception | None:
        """Answer the callers of the batch under way; return the first error that asks for a retry, or None.

        `results` has an entry for each item: what Redis has of its events, the exception that refused it, or None
        if Redis stopped before it. If the whole batch failed, `results` is one exception. Items to retry stay at
        the head.
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
                # It may have arrived, and has no key by which Redis would recognize a second copy.
                self._finish(item, result)
        if trouble is not None:
            self.counters.retries += 1
        return trouble

    def close(self) -> None:
        """Answer all waiting callers with an error: nothing more will be sent."""
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
        # At a retry, a known key comes from the item's own first attempt, so the event is no duplicate.
        duplicates = [status == STALE or (status == KNOWN and not item.attempted) for status, _ in result]
        self.counters.duplicates += sum(duplicates)
        self.counters.sent += len(duplicates) - sum(duplicates)
        # The first of two events is the one that the caller asked for.
        _answer(item, Receipt(result[0].offset, duplicates[0]))

    def _remove(self, item: Item) -> None:
        if self._items[0] is item:
            self._items.popleft()
        else:
            self._items.remove(item)
        self._events -= item.envelope.events
        self._bytes -= item.envelope.size


# If parent and child counted in one lane after a fork, Redis would take the events of one for repeats.
_buffers: WeakSet[Buffer] = WeakSet()


def _rename_in_child() -> None:
    for buffer in _buffers:
        buffer.lane = new_id(9)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_rename_in_child)


def is_passing(error: Exception) -> bool:
    """Return whether the error is temporary, so that the same publish may succeed later."""
    if isinstance(error, (*BROKEN, *_UNWILLING, NoScriptError)):
        return True
    if isinstance(error, ResponseError):
        return _UNWILLING_CODE.search(str(error)) is not None
    return not isinstance(error, (DataError, PublishError))


def _answer(item: Item, outcome: Receipt | PublishError) -> bool:
    """Answer the caller; return whether it still waited."""
    if item.waiter.done():
        return False
    item.waiter.set_result(outcome)
    return True
