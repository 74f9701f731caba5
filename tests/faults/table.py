"""The table that the rows make."""

from __future__ import annotations

from collections.abc import Iterable

from tests.faults.rows import Result

HEAD = (
    *("fault", "acknowledged", "owed to clients", "lost", "twice", "out of order"),
    *("came back", "recovered", "told", "peak MiB", "s", "seed"),
)


def markdown(results: Iterable[Result]) -> str:
    """Return the table in Markdown, what the rows noted below it."""
    results = list(results)
    lines = [_line(HEAD), _line("---" for _ in HEAD)]
    lines += [_line(cells(result)) for result in results]
    for result in results:
        facts = [*result.notes, *(f"**{trouble}**" for trouble in (*result.troubles, *result.verdict.findings()))]
        if facts:
            lines.append(f"\n{result.row.fault}: " + "; ".join(facts))
    return "\n".join(lines)


def cells(result: Result) -> list[str]:
    """Return one row's cells."""
    verdict = result.verdict
    return [
        ("" if result.holds else "**FAILED** ") + result.row.fault,
        *map(str, (result.acknowledged, verdict.owed)),
        *(str(len(found)) for found in (verdict.lost, verdict.twice, verdict.disordered)),
        *map(str, (result.comebacks, verdict.recovered)),
        ", ".join(f"{count} {reason}" for reason, count in verdict.reasons.items()) or "0",
        f"{result.peak_mib:.0f}",
        f"{result.took_s:.1f}",
        str(result.seed),
    ]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
