"""Who counts as there."""

from __future__ import annotations

import math

import pytest

from tests.simulation.client.notes import Notes, Time
from tests.simulation.shown import was_there


def times(*spans: tuple[float, float]) -> list[Time]:
    found = []
    for since, until in spans:
        found.append(time := Time(since))
        time.until = until
    return found


WHOLE, REST = (0.0, 100.0), (0.0, math.inf)
CASES: dict[str, tuple[list[Time], float, bool]] = {
    "connected all the time": (times(WHOLE), 0.0, True),
    "connected until the end": (times(REST), 0.0, True),
    "not long enough before": (times((45.0, 100.0)), 0.0, False),
    "not long enough after": (times((0.0, 55.0)), 0.0, False),
    "away for a moment": (times((0.0, 49.0), (50.0, 100.0)), 0.0, False),
    "away for less than the grace": (times((0.0, 49.0), (50.0, 100.0)), 2.0, True),
    "away for longer": (times((0.0, 45.0), (50.0, 100.0)), 2.0, False),
    "away for longer, but long ago": (times((0.0, 20.0), (30.0, 49.0), (50.0, 51.0)), 2.0, True),
    "gone a moment ago": (times((0.0, 49.0)), 2.0, True),
    "gone": (times((0.0, 47.0)), 2.0, False),
    "new": (times((45.0, 100.0)), 2.0, False),
    "with another tab meanwhile": (times((0.0, 40.0), (39.0, 60.0), (45.0, 46.0)), 2.0, True),
    "never there": ([], 2.0, False),
}


@pytest.mark.parametrize(("spans", "gap_s", "there"), CASES.values(), ids=CASES)
def test_a_user_was_there_around_a_moment(spans: list[Time], gap_s: float, there: bool) -> None:
    assert was_there(spans, 50.0, 10.0, gap_s) is there


def test_a_stay_goes_on_while_a_page_is_away() -> None:
    notes = Notes()
    notes.connected(1.0)
    notes.entered("room", 2.0)
    notes.disconnected(3.0)
    notes.connected(4.0)
    notes.entered("room", 5.0)
    notes.went("room", 6.0)
    notes.went("room", 7.0)
    assert [str(time) for time in notes.connections] == ["1.000 to 3.000", "4.000 to inf"]
    assert [str(time) for time in notes.stays["room"]] == ["2.000 to 6.000"]
