"""Runs the attacks at full size and prints the table: `python -m tests.hostile [--list] [case ...]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.hostile.attacks import load_all
from tests.hostile.cases import CASES, Outcome
from tests.hostile.pool import run_all
from tests.hostile.table import cells, markdown


def report(outcome: Outcome) -> None:
    """Say how a case ended as soon as it has."""
    verdict = "holds" if outcome.holds else "FAILED"
    line = f"{verdict}  {outcome.case.name}  ({outcome.took_s:.1f} s)  {' | '.join(cells(outcome)[3:])}"
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Run what is asked for; return the exit status."""
    load_all()
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("cases", nargs="*", help="names of cases; all without any")
    parser.add_argument("--list", action="store_true", help="show the cases' names")
    arguments = parser.parse_args()
    known = {case.name: case for case in CASES}
    if unknown := set(arguments.cases) - set(known):
        parser.error(f"no case is named {', '.join(sorted(unknown))}; see --list")
    if arguments.list:
        print("\n".join(f"{case.name:30} {case.title}" for case in CASES))
        return 0
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        outcomes = run_all([known[name] for name in arguments.cases or known], Path(folder), report)
    print(markdown(outcomes))
    return 0 if all(outcome.holds for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
