"""The benchmark's own works, on the smallest load there is. Speed is no matter of the tests."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from tests.bench import chart, document, tables
from tests.bench.measure import Figures, Storm, Traffic, measure
from tests.bench.scenarios import FAN_OUT, STORM
from tests.bench.systems import RIVALS, System, of_python
from tests.bench.tally import Ledger, Verdict, percentile, total

GATEWAY = of_python({})[0]
TRAFFIC = Traffic(sockets=2, rooms=1, rate=100, rounds=3)
DROP = Storm(sockets=2, missed=3)


def published(**outcomes: tuple[System, Traffic | Storm, Figures | str]) -> document.Document:
    outcome = document.begin({system.name: system for system in of_python({})}, {"python": "3"}, quick=True)
    for scenario, (system, load, figures) in outcomes.items():
        document.add(outcome, scenario.replace("_", "-"), system.name, load, figures)
    return outcome


def test_two_sockets_get_every_event_and_its_cost_is_known() -> None:
    figures = measure(GATEWAY, TRAFFIC)
    assert figures["deliveries"] == 6
    assert not any(figures[name] for name in document.WRONG)
    assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["max_ms"]
    assert min(figures["delivery_cpu_us"], figures["connect_cpu_ms"], figures["event_redis_cpu_us"]) > 0
    assert 300 < figures["delivery_bytes"] < 600


def test_two_dropped_sockets_come_back_and_get_what_they_missed() -> None:
    figures = measure(GATEWAY, DROP)
    assert figures["recovered"] == figures["arrived"] == 2
    assert not any(figures[name] for name in ("lost", "twice", "late"))
    assert figures["comeback_cpu_ms"] > 0


def test_lost_doubled_and_late_events_are_told_apart() -> None:
    ledger = Ledger()
    for seq in (1, 2, 2, 5, 4):
        ledger.note(seq)
    assert ledger.verdict(upto=7) == Verdict(lost=3, twice=1, late=1)
    assert not ledger.is_complete(upto=5)
    assert total([(1, 2, 3), Verdict(1, 1, 1)]) == Verdict(2, 3, 4)


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(share: float, value: int) -> None:
    assert percentile(range(1, 101), share) == value


def test_a_lost_event_is_a_shortcoming_and_a_rivals_is_none() -> None:
    rival = of_python({})[1]
    outcome = published(
        fan_out=(GATEWAY, TRAFFIC, {"lost": 1.0, "twice": 0.0}), inbox=(rival, TRAFFIC, {"lost": 9})
    )
    assert document.shortcomings(outcome) == ["fan-out: lost 1"]


def test_a_storm_that_is_not_over_in_time_says_so() -> None:
    outcome = published(storm=(GATEWAY, DROP, {"took_s": 30.0, "arrived": 1.0}))
    assert ">30.00" in tables.render(outcome)
    assert "1 back in 30 s" in chart.render(outcome)
    assert document.shortcomings(outcome) == ["storm: 1 sockets came back in time"]


def test_tables_and_chart_show_figures_and_failures() -> None:
    outcome = published(fan_out=(GATEWAY, TRAFFIC, {"delivery_cpu_us": 12.34, "p99_ms": float("nan")}))
    document.add(outcome, FAN_OUT, "python-socketio", TRAFFIC, "it does not start")
    assert json.loads(json.dumps(outcome, allow_nan=False)) == outcome
    assert "12.3" in tables.render(outcome)
    assert "it does not start" in tables.render(outcome)
    shown = "".join(ElementTree.fromstring(chart.render(outcome)).itertext())
    assert "this gateway12.3" in shown.replace("\n", "")
    assert STORM not in shown


def test_the_rivals_lock_names_no_registry_and_checks_every_package() -> None:
    packages = json.loads((RIVALS / "package-lock.json").read_text())["packages"]
    assert all("resolved" not in facts for facts in packages.values())
    assert all("integrity" in facts for name, facts in packages.items() if name)
