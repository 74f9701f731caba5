from __future__ import annotations

from typing import Any

import pytest
import structlog

from gateway.limits.sampling import BURST, Sampler
from gateway.log import EVENTS, SAMPLED


class Log:
    """A sampler, by a clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sampler = Sampler(("refused", "denied"), clock=lambda: self.now)

    def write(self, name: str) -> dict[str, Any] | None:
        """Give the line as it passes, None where it does not."""
        try:
            return self._sampler(None, "warning", {"event": name})
        except structlog.DropEvent:
            return None


def test_a_flood_of_lines_becomes_a_burst_and_one_a_second() -> None:
    log = Log()
    assert len([line for line in (log.write("refused") for _ in range(10_000)) if line]) == BURST
    shown = 0
    for _ in range(10_000):
        log.now += 0.001
        shown += log.write("refused") is not None
    assert shown == pytest.approx(10, abs=1)


def test_the_next_line_says_how_many_are_missing() -> None:
    log = Log()
    for _ in range(BURST + 7):
        log.write("refused")
    log.now += 1
    assert log.write("refused") == {"event": "refused", "left_out": 7}
    log.now += 60
    assert log.write("refused") == {"event": "refused"}


def test_each_name_has_its_own_share_and_others_are_left_alone() -> None:
    log = Log()
    for _ in range(100):
        log.write("refused")
    assert log.write("denied") == {"event": "denied"}
    assert all(log.write("gateway_started") for _ in range(100))


def test_what_is_sampled_is_in_the_catalogue() -> None:
    assert set(SAMPLED) <= set(EVENTS)
