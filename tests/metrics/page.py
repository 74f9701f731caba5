"""Reading `/metrics` as Prometheus does."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support.replica import Replica


class Page:
    """One look at the page."""

    def __init__(self, text: str) -> None:
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def __call__(self, name: str, **labels: str) -> float:
        """Add up the samples of a name that have these labels; 0 where there are none."""
        return sum(sample.value for sample in self.of(name) if sample.labels.items() >= labels.items())

    def of(self, name: str) -> list[Sample]:
        """Return the samples of a name."""
        return [sample for sample in self.samples if sample.name == name]

    def labels(self) -> dict[str, set[str]]:
        """Return the names of all samples, each with the labels that it has."""
        found: dict[str, set[str]] = {}
        for sample in self.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
        return found


def page_of(replica: Replica) -> Page:
    """Look at a replica's page."""
    status, text = replica.get("/metrics")
    assert status == 200
    return Page(text)
