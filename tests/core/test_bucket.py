from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bucket import Rate


def taken(rate: Rate, times: list[float]) -> list[bool]:
    """Take one token at each time, in order, where there is one; say where there was."""
    full_at, found = 0.0, []
    for now in times:
        after = rate.spend(full_at, now)
        found.append(rate.wait_s(after, now) <= 0)
        full_at = after if found[-1] else full_at
    return found


def test_a_burst_passes_and_one_more_does_not() -> None:
    assert taken(Rate(10, burst=5), [1000.0] * 6) == [True] * 5 + [False]


def test_it_fills_up_at_its_rate() -> None:
    assert taken(Rate(10, burst=1), [1000.0, 1000.05, 1000.1, 1000.2, 1000.25]) == [True, False, True, True, False]


def test_it_never_holds_more_than_its_burst() -> None:
    assert taken(Rate(10, burst=2), [1000.0, 2000.0, 2000.0, 2000.0]) == [True, True, True, False]


def test_it_says_how_long_to_wait() -> None:
    rate = Rate(10, burst=5)
    full_at = rate.spend(0.0, 1000.0, 8)
    assert rate.wait_s(full_at, 1000.0) == pytest.approx(0.3, abs=0.01)
    assert rate.wait_s(full_at, 1000.4) < 0


def test_a_large_burst_is_exact() -> None:
    assert taken(Rate(2000, burst=2000), [1_000_000.0] * 2001) == [True] * 2000 + [False]


@given(
    per_s=st.floats(0.1, 5000),
    burst=st.integers(1, 100),
    pauses=st.lists(st.floats(0, 2), min_size=1, max_size=300),
)
def test_no_stretch_of_time_gets_more_than_the_burst_and_the_rate(
    per_s: float, burst: int, pauses: list[float]
) -> None:
    times, now = [], 50_000.0
    for pause in pauses:
        now += pause
        times.append(now)
    passed = [at for at, found in zip(times, taken(Rate(per_s, burst), times), strict=True) if found]
    for first, begin in enumerate(passed):
        for count, end in enumerate(passed[first:], 1):
            assert count <= burst + (end - begin) * per_s + 0.02
