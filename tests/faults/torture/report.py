"""What seeds came to, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.faults.torture.trial import Outcome
from tests.faults.torture.verdict import KINDS

HEAD = ("seed", "published", "owed", *KINDS, "again", "recovered", "told", "drops", "faults", "s")


def markdown(outcomes: Iterable[Outcome]) -> str:
    """Return the table."""
    outcomes = list(outcomes)
    lines = [_line(HEAD), _line("---" for _ in HEAD), *(_line(_cells(outcome)) for outcome in outcomes)]
    return "\n".join(lines)


def summary(outcome: Outcome, most: int) -> list[str]:
    """Say how a seed ended as soon as it has."""
    verdict = "holds" if outcome.holds else "FAILED"
    lines = [
        f"{verdict}  torture --seed {outcome.seed}  ({outcome.took_s:.0f} s)  {outcome.log}",
        f"    {dict(sorted(outcome.verdict.counts.items()))}",
        f"    {dict(sorted(outcome.faults.items()))}",
        "    " + ", ".join(f"{found} {kind}" for kind in KINDS if (found := len(outcome.verdict.of(kind)))),
    ]
    lines += [f"    {trouble}" for trouble in outcome.troubles[:most]]
    return lines + [f"    {story.partition(chr(10))[0]}" for story in outcome.stories[:most]]


def _told(outcome: Outcome) -> Iterator[int]:
    return (count for name, count in outcome.verdict.counts.items() if name.startswith("told"))


def _cells(outcome: Outcome) -> list[str]:
    verdict = outcome.verdict
    counts = verdict.counts
    return [
        ("" if outcome.holds else "**FAILED** ") + str(outcome.seed),
        str(outcome.published),
        str(verdict.owed),
        *(str(len(verdict.of(kind))) for kind in KINDS),
        str(verdict.again),
        str(counts["recovered"]),
        str(sum(_told(outcome))),
        str(counts["drops"]),
        str(sum(outcome.faults.values())),
        f"{outcome.took_s:.0f}",
    ]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
