"""What the judge finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

KINDS = ("lost", "twice", "disordered", "foreign", "backwards", "strange")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the gateway did wrong: to whom, with which event, and where in its diary."""

    kind: str
    page: str
    seq: int
    text: str


@dataclass(slots=True)
class Verdict:
    """What came of one page, or of all."""

    owed: int = 0
    again: int = 0
    """Events that an answer showed and the page had: by another answer, or in that very room after `since`."""
    counts: Counter[str] = field(default_factory=Counter)
    """Connections and answers by how they ended."""
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Take another's in."""
        self.owed += other.owed
        self.again += other.again
        self.counts += other.counts
        self.findings += other.findings

    def of(self, kind: str) -> list[Finding]:
        """Return the findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]
