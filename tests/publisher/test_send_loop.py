"""The loop that both publishers carry out: how much is sent at a time, what follows a failure, when it ends."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from publisher.buffer import Buffer
from publisher.send_loop import Answer, LoadScripts, Pause, Send, Step, Wait, send_loop
from publisher.sending import BATCH, SendWindow, new_backoff
from tests.publisher.test_buffer import new_item, reply

BROKE = RedisConnectionError("cut")
MISSING = NoScriptError("No matching script.")


class Lane:
    """A buffer, and the loop that sends it."""

    def __init__(self, events: int) -> None:
        self.buffer = Buffer(100, 1_000_000)
        self.items = [new_item() for _ in range(events)]
        for item in self.items:
            self.buffer.put(item)
        self.is_over = False
        self.steps: Generator[Step, Answer, None] = send_loop(self.buffer, None, lambda: self.is_over)


def test_items_are_sent_the_first_alone_and_then_together() -> None:
    lane = Lane(3)
    assert next(lane.steps) == Send(lane.items[:1])
    assert lane.steps.send([reply()]) == Send(lane.items[1:])
    assert lane.steps.send([reply(), reply()]) == Wait()
    lane.buffer.put(new_item())
    assert isinstance(lane.steps.send(None), Send)


def test_after_a_failure_the_same_items_follow_a_pause() -> None:
    lane = Lane(1)
    assert next(lane.steps) == Send(lane.items)
    assert isinstance(lane.steps.send(BROKE), Pause)
    assert lane.steps.send(None) == Send(lane.items)


def test_missing_scripts_are_loaded_once_and_then_count_as_a_failure() -> None:
    lane = Lane(1)
    assert next(lane.steps) == Send(lane.items)
    assert lane.steps.send(MISSING) == LoadScripts()
    assert lane.steps.send(None) == Send(lane.items)
    assert isinstance(lane.steps.send(MISSING), Pause)


def test_what_was_sent_last_is_settled_before_the_loop_ends() -> None:
    lane = Lane(2)
    next(lane.steps)
    lane.is_over = True
    with pytest.raises(StopIteration):
        lane.steps.send([reply()])
    assert (len(lane.buffer), lane.buffer.counters.sent) == (1, 1)


@pytest.mark.parametrize("failures", [1, 10, 1_023, 1_024, 1_000_000])
def test_however_long_redis_is_away_the_pauses_stay_short(failures: int) -> None:
    assert 0.0 < new_backoff().compute(failures) <= 0.5


def test_pauses_grow() -> None:
    backoff = new_backoff()
    assert max(backoff.compute(1) for _ in range(100)) < min(backoff.compute(4) for _ in range(100))


def test_a_publisher_goes_on_after_any_number_of_failures() -> None:
    window = SendWindow()
    for _ in range(2_000):
        window.wants_scripts(ConnectionError("away"))
    assert 0.0 < window.pause_s() <= 0.5


def test_the_first_event_goes_ahead_alone_and_then_many_at_a_time() -> None:
    window = SendWindow()
    assert window.most == 1
    assert not window.wants_scripts(None)
    assert window.most == BATCH


def test_after_any_trouble_one_event_goes_ahead_alone_again() -> None:
    window = SendWindow()
    window.wants_scripts(None)
    window.wants_scripts(BROKE)
    assert (window.most, window.failures) == (1, 1)


def test_scripts_that_do_not_stay_loaded_count_as_a_failure() -> None:
    window = SendWindow()
    assert [window.wants_scripts(MISSING) for _ in range(4)] == [True, False, True, False]
    assert window.failures == 2


def test_pauses_grow_to_half_a_second_and_no_further() -> None:
    window = SendWindow()
    pauses = []
    for _ in range(12):
        window.wants_scripts(BROKE)
        pauses.append(window.pause_s())
    assert 0.025 <= pauses[0] <= 0.1
    assert all(0.25 <= pause <= 0.5 for pause in pauses[-4:])
