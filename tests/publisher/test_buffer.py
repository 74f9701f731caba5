"""The buffer: what is kept, what is dropped, what is sent again, and who is told."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    DataError,
    InvalidResponse,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from publisher import Options, PublishError, Receipt, conversation
from publisher.buffer import BATCH_BYTES, RETRY_S, Buffer, Item, is_passing
from publisher.calls import Taken, calls_of, results_of
from publisher.envelope import build_control, build_event
from tests.support.tokens import new_id

ORG = new_id()
ROOM = conversation(new_id())
BROKE = RedisConnectionError("cut")
UNWILLING = ReadOnlyError("You can't write against a read only replica.")
REFUSED = ResponseError("WRONGTYPE")


def new_item(*, size: int = 10, ephemeral: bool = False, two: bool = False) -> Item:
    body = [0] * ((size - 6) // 2)
    envelope = build_event(ORG, "e", body, ROOM, Options(), ephemeral=ephemeral)
    if two:
        envelope = replace(envelope, also=build_event(ORG, "e", body, ROOM, Options()))
    waiter: Future[Receipt | PublishError] = Future()
    return Item(envelope, waiter)


def outcome(item: Item) -> Any:
    assert isinstance(item.waiter, Future)
    return item.waiter.result(timeout=0)


def reply(status: int = 0, offset: str = "e-1") -> list[Taken]:
    return [Taken(status, offset)]


def take(buffer: Buffer, most: int) -> list[Item]:
    return buffer.take(most, now=0.0)


def filled(*items: Item, max_bytes: int = 10_000) -> Buffer:
    buffer = Buffer(10, max_bytes)
    for item in items:
        buffer.put(item)
    return buffer


def settle_answer(buffer: Buffer, taken: list[Item], answer: list[Any]) -> None:
    """Settle what one call of Redis was answered with."""
    envelopes = [item.envelope for item in taken]
    assert buffer.settle(taken, results_of(envelopes, calls_of(envelopes), [answer])) is None


@pytest.mark.parametrize(
    "error",
    [
        BROKE,
        RedisTimeoutError("Timeout reading from socket"),
        ConnectionResetError(104, "reset"),
        TimeoutError(),
        AuthenticationError("WRONGPASS"),
        BusyLoadingError("Redis is loading the dataset in memory"),
        NoScriptError("No matching script."),
        UNWILLING,
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        InvalidResponse("Protocol Error"),
        ResponseError("BUSY Redis is busy running a script."),
        ResponseError("LOADING Redis is loading the dataset in memory"),
        ResponseError("MISCONF Redis is configured to save RDB snapshots"),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
        ResponseError("Error running script (call to f_12ab): @user_script:26: -READONLY You can't write"),
        ResponseError("Error running script (call to f_12ab): @user_script:26: -OOM command not allowed"),
    ],
    ids=repr,
)
def test_what_passes_is_tried_again(error: Exception) -> None:
    assert is_passing(error)


@pytest.mark.parametrize(
    "error",
    [
        REFUSED,
        NoPermissionError("this user has no permissions"),
        MovedError("3999 127.0.0.1:6381"),
        DataError("Invalid input of type"),
        ResponseError("ERR the data holds the word -OOM and READONLY, too"),
    ],
    ids=repr,
)
def test_what_stays_is_not_tried_again(error: Exception) -> None:
    assert not is_passing(error)


def test_one_refused_event_does_not_hold_up_the_others() -> None:
    items = [new_item() for _ in range(3)]
    buffer = filled(*items)
    assert buffer.settle(take(buffer, 3), [reply(), REFUSED, reply(1)]) is None
    assert [outcome(item) for item in items[::2]] == [Receipt("e-1"), Receipt("e-1", duplicate=True)]
    assert not outcome(items[1]).maybe_published
    assert (buffer.counters.sent, buffer.counters.failed, buffer.counters.duplicates) == (1, 1, 1)
    assert len(buffer) == 0


def test_what_broke_stays_at_the_head_in_order() -> None:
    items = [new_item() for _ in range(4)]
    buffer = filled(*items)
    assert buffer.settle(take(buffer, 3), BROKE) is BROKE
    assert take(buffer, 10) == items


def test_a_key_that_a_retry_meets_is_its_own() -> None:
    item = new_item()
    buffer = filled(item)
    buffer.settle(take(buffer, 1), BROKE)
    buffer.settle(take(buffer, 1), [reply(1)])
    assert outcome(item) == Receipt("e-1", duplicate=False)


@pytest.mark.parametrize("error", [NoScriptError("No matching script."), UNWILLING])
def test_a_key_that_a_refused_event_meets_later_is_anothers(error: Exception) -> None:
    item = new_item()
    buffer = filled(item)
    buffer.settle(take(buffer, 1), [error])
    buffer.settle(take(buffer, 1), [reply(1)])
    assert outcome(item) == Receipt("e-1", duplicate=True)


def test_an_ephemeral_event_is_not_sent_again_once_it_may_be_out() -> None:
    item = new_item(ephemeral=True)
    buffer = filled(item)
    assert buffer.settle(take(buffer, 1), [UNWILLING]) is UNWILLING
    assert take(buffer, 1) == [item]
    assert buffer.settle([item], BROKE) is BROKE
    assert outcome(item).maybe_published
    assert len(buffer) == 0


def test_an_item_under_way_can_not_be_withdrawn_and_is_not_sent_again() -> None:
    item, next_item = new_item(), new_item()
    buffer = filled(item, next_item)
    taken = take(buffer, 1)
    assert not buffer.withdraw(item)
    assert buffer.withdraw(next_item)
    assert buffer.settle(taken, BROKE) is BROKE
    assert len(buffer) == 0


def test_a_late_answer_for_a_withdrawn_item_does_no_harm() -> None:
    item = new_item()
    buffer = filled(item)
    taken = take(buffer, 1)
    buffer.withdraw(item)
    assert buffer.settle(taken, [reply()]) is None
    assert (len(buffer), buffer.counters.sent) == (0, 1)


# -- an envelope with two events


def test_two_events_of_one_call_are_counted_as_two() -> None:
    item = new_item(two=True)
    buffer = filled(item)
    assert len(buffer) == 2
    buffer.settle(take(buffer, 1), [[*reply(), *reply(0, "e-2")]])
    assert outcome(item) == Receipt("e-1")
    assert (len(buffer), buffer.counters.sent) == (0, 2)


def test_each_of_two_events_may_be_a_duplicate_and_the_receipt_is_of_the_first() -> None:
    items = [new_item(two=True) for _ in range(2)]
    buffer = filled(*items)
    buffer.settle(take(buffer, 2), [[*reply(1), *reply(0, "e-2")], [*reply(0, "e-3"), *reply(1, "e-2")]])
    assert [outcome(item) for item in items] == [Receipt("e-1", duplicate=True), Receipt("e-3")]
    assert (buffer.counters.sent, buffer.counters.duplicates) == (2, 2)


def test_two_events_that_a_retry_meets_are_its_own() -> None:
    item = new_item(two=True)
    buffer = filled(item)
    buffer.settle(take(buffer, 1), BROKE)
    buffer.settle(take(buffer, 1), [[*reply(1), *reply(1, "e-2")]])
    assert outcome(item) == Receipt("e-1")
    assert (buffer.counters.sent, buffer.counters.duplicates) == (2, 0)


def test_two_events_stay_and_go_together() -> None:
    buffer = Buffer(3, 10_000)
    items = [new_item(two=True) for _ in range(2)]
    assert [buffer.put(item) for item in items] == [0, 2]
    assert buffer.counters.dropped == 2
    buffer.settle(take(buffer, 2), [REFUSED])
    assert (len(buffer), buffer._bytes, buffer.counters.failed) == (0, 0, 2)


class BufferMachine(RuleBasedStateMachine):
    """Any order of calls, against a queue of which everybody can see that it is right."""

    items = Bundle("items")
    MAX_EVENTS, MAX_BYTES = 6, 120

    def __init__(self) -> None:
        super().__init__()
        self.buffer = Buffer(self.MAX_EVENTS, self.MAX_BYTES)
        self.queue: deque[Item] = deque()
        self.taken: list[Item] = []
        self.gone: list[Item] = []

    @rule(target=items, size=st.integers(6, 60), ephemeral=st.booleans(), two=st.booleans())
    def put(self, size: int, *, ephemeral: bool, two: bool) -> Item:
        item = new_item(size=size, ephemeral=ephemeral, two=two and not ephemeral)
        self.queue.append(item)
        dropped = self.buffer.put(item)
        while dropped:
            oldest = self.queue[len(self.taken)]
            assert oldest is not item
            assert isinstance(outcome(oldest), PublishError)
            self.queue.remove(oldest)
            dropped -= oldest.envelope.events
        waiting = len(self.queue) - len(self.taken)
        assert waiting == 1 or (len(self.buffer) <= self.MAX_EVENTS and self.buffer._bytes <= self.MAX_BYTES)
        return item

    @precondition(lambda self: not self.taken)
    @rule(most=st.integers(1, 4))
    def take(self, most: int) -> None:
        self.taken = take(self.buffer, most)
        assert self.taken == list(self.queue)[:most]

    @precondition(lambda self: self.taken)
    @rule(error=st.sampled_from([BROKE, TimeoutError()]))
    def break_off(self, error: Exception) -> None:
        self.settle(error, [error] * len(self.taken))

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        possible = st.sampled_from([reply(), reply(1), reply(2), REFUSED, UNWILLING, None])
        results = [data.draw(possible) for _ in self.taken]
        self.settle(results, results)

    def settle(self, given: Any, results: list[Any]) -> None:
        taken, self.taken = self.taken, []
        was_abandoned = {id(item) for item in taken if item.abandoned}
        trouble = self.buffer.settle(taken, given)
        assert (trouble is not None) == any(isinstance(r, Exception) and is_passing(r) for r in results)
        for item, result in zip(taken, results, strict=True):
            stays = result is None or (isinstance(result, Exception) and is_passing(result))
            stays = stays and id(item) not in was_abandoned
            stays = stays and not (item.envelope.ephemeral and item.attempted and result is not None)
            if not stays:
                self.queue.remove(item)
                assert item.waiter.done() or item.abandoned

    @rule(item=consumes(items))
    def give_up(self, item: Item) -> None:
        if item.waiter.done() or item.abandoned:
            return
        under_way = any(item is other for other in self.taken)
        withdrawn = self.buffer.withdraw(item)
        assert withdrawn == (not under_way and not item.attempted)
        if not under_way:
            self.queue.remove(item)

    @invariant()
    def holds_what_it_should(self) -> None:
        assert len(self.buffer) == sum(item.envelope.events for item in self.queue)
        assert self.buffer._bytes == sum(item.envelope.size for item in self.queue)
        assert list(self.buffer._items) == list(self.queue)


TestBuffer = BufferMachine.TestCase


# -- what goes out together


def test_a_batch_has_one_call_of_each_tenant() -> None:
    """A server that took a later call of a tenant, and not the one before, would change its order."""
    other = Item(build_event(new_id(), "e", 1, ROOM, Options()), Future())
    control = Item(build_control(ORG, "bob", {"do": "x"}, Options()), Future())
    items = [new_item(), other, new_item(), control, new_item()]
    buffer = filled(*items)
    first = take(buffer, 10)
    assert first == items[:3]
    assert calls_of(item.envelope for item in first) == [[0, 2], [1]]
    buffer.settle(first, [reply()] * 3)
    assert take(buffer, 10) == [control]
    buffer.settle([control], [reply()])
    assert take(buffer, 10) == items[4:]


def test_two_commands_of_one_tenant_are_two_calls() -> None:
    items = [Item(build_control(ORG, "bob", {"do": "x"}, Options()), Future()) for _ in range(2)]
    assert take(filled(*items), 10) == items[:1]


def test_a_batch_is_no_larger_than_what_redis_may_take_at_once() -> None:
    items = [new_item(size=BATCH_BYTES // 2 + 10) for _ in range(3)]
    buffer = filled(*items, max_bytes=10 * BATCH_BYTES)
    batches = []
    while len(buffer):
        batches.append(take(buffer, 10))
        buffer.settle(batches[-1], [reply()] * len(batches[-1]))
    assert batches == [[item] for item in items]


def test_what_redis_did_not_look_at_behind_a_refused_event_stays_in_order() -> None:
    items = [new_item() for _ in range(4)]
    buffer = filled(*items)
    answer = [0, b"e-1", 4, b"WRONGTYPE Operation against a key holding the wrong kind of value"]
    settle_answer(buffer, take(buffer, 4), answer)
    assert outcome(items[0]) == Receipt("e-1")
    assert not outcome(items[1]).maybe_published
    assert take(buffer, 4) == items[2:]


def test_an_event_that_is_too_large_for_the_gateways_is_refused_with_a_code() -> None:
    items = [new_item() for _ in range(2)]
    buffer = filled(*items)
    settle_answer(buffer, take(buffer, 2), [3, b"524288", 0, b"e-2"])
    assert (outcome(items[0]).code, outcome(items[0]).maybe_published) == ("too_large", False)
    assert "524288" in str(outcome(items[0]))
    assert outcome(items[1]) == Receipt("e-2")


def test_what_redis_may_have_is_not_tried_again_for_ever() -> None:
    """After a day Redis does not know any more what it took from this queue last."""
    tried, untried = new_item(), new_item()
    buffer = filled(tried)
    buffer.settle(buffer.take(1, now=10.0), BROKE)
    buffer.settle(buffer.take(1, now=9.0 + RETRY_S), BROKE)
    buffer.put(untried)
    assert buffer.take(10, now=11.0 + RETRY_S) == [untried]
    assert outcome(tried).maybe_published
    assert (buffer.counters.uncertain, len(buffer)) == (1, 1)


def test_what_was_refused_for_long_is_tried_for_as_long() -> None:
    item = new_item()
    buffer = filled(item)
    buffer.settle(buffer.take(1, now=0.0), [UNWILLING])
    assert buffer.take(1, now=10 * RETRY_S) == [item]
