from typing import Any

import pytest

from gateway.engine import EngineOptions


@pytest.mark.parametrize(
    "wrong", [{"ping_interval_s": 0}, {"ping_timeout_s": -1.0}, {"max_payload_bytes": 0}, {"inbox_messages": 0}]
)
def test_a_limit_of_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EngineOptions(**wrong)


@pytest.mark.parametrize(
    ("interval_s", "timeout_s", "tick_s"), [(25, 20, 0.1), (0.3, 0.2, 0.004), (0.01, 0.01, 0.002)]
)
def test_precision_follows_the_heartbeat(interval_s: float, timeout_s: float, tick_s: float) -> None:
    assert EngineOptions(ping_interval_s=interval_s, ping_timeout_s=timeout_s).tick_s == tick_s
