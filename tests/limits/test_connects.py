from __future__ import annotations

from typing import Any

import pytest

from gateway.limits.connects import Connects
from gateway.settings.limits import Limits

HERE, THERE = "198.51.100.1", "198.51.100.2"


class Door:
    """Connects whose clock and count of pending sockets a test sets."""

    def __init__(self, **settings: Any) -> None:
        self.now, self.pending = 1000.0, 0
        given = {"GATEWAY_CONNECTS_PER_S": 0, "GATEWAY_MAX_PENDING_CONNECTS": 0} | settings
        self.connects = Connects(Limits(**given), lambda: self.pending, clock=lambda: self.now)

    def tries(self, times: int = 1, remote: str = HERE) -> list[str]:
        """Try so often; return the limit that was hit, or "" where it was let in."""
        refusals = [self.connects.refusal_of(remote) for _ in range(times)]
        return ["" if refusal is None else refusal.limit for refusal in refusals]


def test_a_second_takes_so_many() -> None:
    door = Door(GATEWAY_CONNECTS_PER_S=10)
    assert door.tries(12) == [""] * 10 + ["connects_per_s"] * 2
    door.now += 0.3
    assert door.tries(4) == [""] * 3 + ["connects_per_s"]


def test_who_is_turned_away_takes_nobodys_place() -> None:
    door = Door(GATEWAY_CONNECTS_PER_S=10)
    door.tries(1000)
    door.now += 0.1
    assert door.tries(2) == ["", "connects_per_s"]


def test_a_rate_below_one_lets_one_in() -> None:
    door = Door(GATEWAY_CONNECTS_PER_S=0.5)
    assert door.tries(2) == ["", "connects_per_s"]
    door.now += 2.0
    assert door.tries(2) == ["", "connects_per_s"]


def test_sockets_that_have_not_authenticated_are_so_many_at_most() -> None:
    door = Door(GATEWAY_MAX_PENDING_CONNECTS=5)
    door.pending = 5
    assert door.tries() == ["max_pending_connects"]
    door.pending = 4
    assert door.tries() == [""]


def test_an_address_has_so_many_sockets() -> None:
    door = Door(GATEWAY_MAX_SOCKETS_PER_ADDRESS=2)
    for _ in range(2):
        assert door.tries() == [""]
        door.connects.opened(HERE)
    assert door.tries() == ["max_sockets_per_address"]
    assert door.tries(remote=THERE) == [""]
    door.connects.closed(HERE)
    assert door.tries() == [""]


def test_an_address_without_sockets_takes_no_memory() -> None:
    door = Door(GATEWAY_MAX_SOCKETS_PER_ADDRESS=2)
    for number in range(100):
        door.connects.opened(f"2001:db8:{number:x}::1")
    for number in range(100):
        door.connects.closed(f"2001:db8:{number:x}::1")
    assert not door.connects._sockets


def test_zero_is_no_limit() -> None:
    door = Door()
    door.pending = 1_000_000
    for _ in range(1000):
        door.connects.opened(HERE)
    assert door.tries(5000) == [""] * 5000


@pytest.mark.parametrize(
    "settings", [{"GATEWAY_CONNECTS_PER_S": 1}, {"GATEWAY_MAX_PENDING_CONNECTS": 1}], ids=["rate", "pending"]
)
def test_a_refusal_says_when_to_come_back_and_which_limit_it_was(settings: dict[str, Any]) -> None:
    door = Door(**settings)
    door.pending = 1
    door.connects.refusal_of(HERE)
    refusal = door.connects.refusal_of(HERE)
    assert refusal is not None
    assert refusal.status == 503
    assert int(dict(refusal.headers)["Retry-After"]) >= 1
    assert f"GATEWAY_{refusal.limit.upper()}" in settings
