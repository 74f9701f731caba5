"""Redis' clock, as far as it can be known from here."""

from __future__ import annotations

import pytest

from gateway.core.clock import KEPT, ServerClock

SERVER_US = 1_790_000_000_000_000


class Monotonic:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ours() -> Monotonic:
    return Monotonic()


@pytest.fixture
def clock(ours: Monotonic) -> ServerClock:
    return ServerClock(ours)


def test_before_any_answer_no_age_is_known(clock: ServerClock) -> None:
    assert clock.age_s(SERVER_US) is None


def test_an_answer_was_made_halfway_between_question_and_arrival(clock: ServerClock, ours: Monotonic) -> None:
    clock.learn(10.0, 10.2, SERVER_US)
    ours.now = 10.1
    assert clock.age_s(SERVER_US) == pytest.approx(0.0, abs=1e-6)
    ours.now = 13.1
    assert clock.age_s(SERVER_US) == pytest.approx(3.0, abs=1e-6)
    assert clock.error_s == pytest.approx(0.1)


def test_an_answer_that_was_heard_late_does_not_shift_the_clock(clock: ServerClock, ours: Monotonic) -> None:
    clock.learn(10.0, 10.001, SERVER_US)
    clock.learn(12.0, 15.0, SERVER_US + 2_000_000)
    ours.now = 20.0005
    assert clock.age_s(SERVER_US) == pytest.approx(10.0, abs=1e-6)
    assert clock.error_s == pytest.approx(0.0005)


def test_a_fast_answer_of_long_ago_gives_way_to_what_the_clock_says_now(
    clock: ServerClock, ours: Monotonic
) -> None:
    clock.learn(0.0, 0.001, SERVER_US)
    for i in range(1, KEPT + 1):
        # Redis' clock was put forward by a minute.
        clock.learn(2.0 * i, 2.0 * i + 0.01, SERVER_US + 2_000_000 * i + 60_000_000)
    ours.now = 2.0 * KEPT + 0.005
    assert clock.age_s(SERVER_US + 60_000_000) == pytest.approx(2.0 * KEPT, abs=1e-6)


def test_another_servers_clock_counts_at_once(clock: ServerClock, ours: Monotonic) -> None:
    clock.learn(0.0, 0.001, SERVER_US)
    clock.reset()
    clock.learn(2.0, 2.5, SERVER_US - 5_000_000)
    ours.now = 2.25
    assert clock.age_s(SERVER_US - 5_000_000) == pytest.approx(0.0, abs=1e-6)
