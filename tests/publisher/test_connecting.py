"""What both publishers have in common: the pauses between attempts."""

from __future__ import annotations

import pytest

from publisher.sending import SendWindow, new_backoff


@pytest.mark.parametrize("failures", [1, 10, 1_023, 1_024, 1_000_000])
def test_however_long_redis_is_away_the_pauses_stay_short(failures: int) -> None:
    assert 0.0 < new_backoff().compute(failures) <= 0.5


def test_pauses_grow() -> None:
    backoff = new_backoff()
    assert max(backoff.compute(1) for _ in range(100)) < min(backoff.compute(4) for _ in range(100))


def test_a_publisher_goes_on_after_any_number_of_failures() -> None:
    pace = SendWindow()
    for _ in range(2_000):
        pace.wants_scripts(ConnectionError("away"))
    assert 0.0 < pace.pause_s() <= 0.5
