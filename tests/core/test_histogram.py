"""Histograms: which bucket a value falls into."""

from __future__ import annotations

from gateway.core.histogram import Histogram

INF = float("inf")


def test_a_bucket_holds_what_is_at_its_bound() -> None:
    histogram = Histogram(1.0, 2.0)
    for value in (0.0, 1.0, 1.5, 2.0, 2.1):
        histogram.observe(value)
    assert list(histogram.cumulated()) == [(1.0, 2), (2.0, 4), (INF, 5)]
    assert histogram.total == 6.6


def test_nothing_observed_is_nothing_counted() -> None:
    assert list(Histogram(1.0).cumulated()) == [(1.0, 0), (INF, 0)]
