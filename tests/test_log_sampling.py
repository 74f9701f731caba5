from __future__ import annotations

from typing import Any

import pytest
import structlog

from gateway.log import EVENTS
from gateway.log import RARE as RARE_NAMES
from gateway.log import USUAL as USUAL_NAMES
from gateway.log_sampling import EVERYBODY, MAX_USERS, ONE_USER, RARE, Sampler

BURST = int(RARE.burst)
DAY_S = 86_400


class Log:
    """A sampler, by a clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sampler = Sampler(("refused", "denied"), ("joined", "left"), clock=lambda: self.now)

    def write(self, name: str, **fields: Any) -> dict[str, Any] | None:
        """Return the line as it passes, None where it does not."""
        try:
            return self._sampler(None, "warning", {"event": name, **fields})
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


def test_a_user_who_joins_all_day_is_worth_some_lines_and_others_keep_theirs() -> None:
    log = Log()
    shown = 0
    for _ in range(DAY_S):
        log.now += 1.0
        shown += log.write("joined", tenant="a", user="loud") is not None
        if not shown % 1000:
            assert log.write("joined", tenant="a", user=f"quiet {shown}")
            assert log.write("left", tenant="a", user="loud")
    assert shown == pytest.approx(ONE_USER.burst + DAY_S / 10, rel=0.01)


def test_a_user_of_the_same_name_in_another_tenant_is_somebody_else() -> None:
    log = Log()
    for _ in range(100):
        log.write("joined", tenant="a", user="1")
    assert log.write("joined", tenant="b", user="1")


def test_a_crowd_of_users_has_a_share_in_common() -> None:
    log = Log()
    shown = sum(log.write("joined", tenant="a", user=str(n)) is not None for n in range(10_000))
    assert shown == EVERYBODY.burst
    log.now += 1.0
    assert log.write("joined", tenant="a", user="next") == {
        **{"event": "joined", "tenant": "a", "user": "next"},
        "left_out": 10_000 - shown,
    }


def test_users_are_remembered_up_to_a_limit() -> None:
    log = Log()
    for n in range(2 * MAX_USERS):
        log.now += 1.0
        log.write("joined", tenant="a", user=str(n))
    assert len(log._sampler._users._full_at) == MAX_USERS


@pytest.mark.parametrize("names", [RARE_NAMES, USUAL_NAMES])
def test_what_is_sampled_is_in_the_catalogue(names: tuple[str, ...]) -> None:
    assert set(names) <= set(EVENTS)


@pytest.mark.parametrize("name", USUAL_NAMES)
def test_what_is_shared_out_by_user_says_whose_it_is(name: str) -> None:
    assert {"tenant", "user"} <= set(EVENTS[name][1].split(", "))


def test_no_line_that_one_client_can_cause_is_left_alone() -> None:
    """Of a client are those that say which one, and those of what goes wrong while one is served."""
    of_clients = {
        name
        for name, (_, fields) in EVENTS.items()
        if {"sid", "remote", "user"} & set(fields.split(", ")) or name.endswith("handler_failed")
    }
    assert of_clients - {*RARE_NAMES, *USUAL_NAMES} == set()
