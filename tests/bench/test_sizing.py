"""The runbook's figures are those of the last published run, and its formula is one that a run bears out."""

from __future__ import annotations

import json

import pytest

from tests.bench.sizing import FIGURES, RUNBOOK, SPREAD, predicted_us, published, table

MEASURED = json.loads(FIGURES.read_text())


def test_the_runbook_shows_the_last_published_run() -> None:
    assert published(RUNBOOK.read_text()) == table(MEASURED)


def test_the_formula_says_what_ten_thousand_sockets_on_four_replicas_took() -> None:
    assert predicted_us(MEASURED) == pytest.approx(MEASURED["spread_delivery_cpu_us"], rel=0.35)


def test_nothing_was_lost_in_that_run() -> None:
    assert MEASURED["spread_deliveries"] == SPREAD.sockets * SPREAD.rounds
    assert not MEASURED["spread_lost"] + MEASURED["spread_twice"] + MEASURED["spread_late"]
