"""The table that the cases make."""

from __future__ import annotations

from collections.abc import Iterable

from tests.hostile.cases import Outcome

HEAD = (
    *("#", "case", "plain python-socketio", "here", "memory peak, kept", "CPU, waiting for one"),
    *("neighbours: p99, longest wait", "lost", "log"),
)


def markdown(outcomes: Iterable[Outcome]) -> str:
    """Return the table in Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *map(cells, outcomes)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(outcome: Outcome) -> tuple[str, ...]:
    """Return one line's cells."""
    case, cost = outcome.case, outcome.cost
    seen = cost.neighbours
    here = [*(["**FAILED**: " + "; ".join(outcome.troubles)] if outcome.troubles else []), outcome.closed]
    return (
        case.row,
        case.title,
        case.plain,
        "; ".join(filter(None, [*here, *outcome.notes])),
        f"{max(cost.peak_mib, 0):.1f}, {max(cost.kept_mib, 0):.1f} MiB",
        f"{cost.cpu_s:.1f}, {cost.waited_s:.1f} s",
        f"{seen.p99_ms:.0f}, {seen.worst_ms:.0f} ms",
        f"{seen.lost} of {seen.published}",
        f"{cost.log_bytes / 1024:.1f} KiB",
    )
