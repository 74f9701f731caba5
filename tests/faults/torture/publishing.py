"""What publishers did wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tests.faults.torture.ledger import Event
from tests.faults.torture.verdict import Finding


def judge_publishing(events: Iterable[Event]) -> list[Finding]:
    """Find what was published twice, in another order than asked for, or fell back.

    A number is `<publisher>-<n>`; calls of one publisher for one tenant are in the order of their numbers.
    """
    findings: list[Finding] = []
    seen: dict[tuple[str, str, str], int] = {}
    last: dict[tuple[str, str], tuple[int, int]] = {}
    ranks: dict[tuple[str, str], int] = {}
    for event in sorted(events, key=lambda event: event.seq):
        if event.ident:
            before = seen.setdefault((event.tenant, event.ident, event.name), event.seq)
            if before != event.seq:
                text = f"{event.ident} was published at {before}"
                findings.append(Finding("twice", "publisher", event.seq, text))
                continue
            publisher, _, number = event.ident.rpartition("-")
            highest, at = last.get((publisher, event.tenant), (0, 0))
            if int(number) < highest:
                text = f"{event.ident} was published after number {highest} at {at}"
                findings.append(Finding("disordered", "publisher", event.seq, text))
            last[publisher, event.tenant] = max((highest, at), (int(number), event.seq))
        if event.about:
            rank = ranks.get((event.tenant, event.about), 0)
            if event.rank < rank:
                text = f"{event.about} fell back from {rank} to {event.rank}"
                findings.append(Finding("backwards", "publisher", event.seq, text))
            ranks[event.tenant, event.about] = max(rank, event.rank)
    return findings
