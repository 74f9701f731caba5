"""The circuit breaker, with times as arguments."""

from __future__ import annotations

from gateway.access.breaker import Breaker


def opened() -> Breaker:
    breaker = Breaker(failures=2, pause_s=3.0)
    breaker.failed(99.0)
    assert breaker.failed(100.0)
    return breaker


def test_single_failures_do_not_open_it() -> None:
    breaker = Breaker(failures=2)
    for now in range(10):
        assert not breaker.failed(now)
        assert breaker.succeeded(now) is None
        assert not breaker.rests(now)


def test_failures_in_a_row_open_it_once() -> None:
    breaker = opened()
    assert breaker.is_open
    assert not breaker.failed(100.5)
    assert breaker.rests(102.9)


def test_after_a_pause_one_question_is_a_trial() -> None:
    breaker = opened()
    assert not breaker.rests(103.0)
    breaker.asked(103.0)
    assert breaker.rests(103.0)
    assert breaker.rests(105.9)
    assert not breaker.rests(106.0)


def test_an_answer_closes_it_and_says_for_how_long_it_was_open() -> None:
    breaker = opened()
    breaker.asked(103.0)
    assert breaker.succeeded(104.0) == 4.0
    assert not breaker.is_open
    assert not breaker.rests(104.0)
    assert not breaker.failed(105.0)
