"""Runs the rows and prints the table: `python -m tests.faults [--seed N] [--short] [--list] [row ...]`.

`python -m tests.faults torture --seeds 1-10 --minutes 5` does everything at random: see `tests/faults/torture`.
`python -m tests.faults soak --minutes 30` has users come and go, and looks at what that leaves behind.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.faults import soak
from tests.faults.pool import JOBS, run_rows
from tests.faults.rows import ROWS, Result
from tests.faults.scenarios import load_all
from tests.faults.table import markdown
from tests.faults.torture import command as torture


def report(result: Result) -> None:
    """Say how a row ended as soon as it has, and how to replay it."""
    verdict = "holds" if result.holds else "FAILED"
    lines = [f"{verdict}  {result.row.name} --seed {result.seed}  ({result.took_s:.1f} s)"]
    lines += [f"    {line}" for line in (*result.troubles, *result.verdict.findings())]
    print("\n".join(lines), file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("rows", nargs="*", help="names of rows; all without any")
    parser.add_argument("--seed", type=int, help="replay with this seed; each row draws its own without")
    parser.add_argument("--short", action="store_true", help="few clients and events, as `make test` runs them")
    parser.add_argument("--jobs", type=int, default=JOBS, help="rows at the same time")
    parser.add_argument("--list", action="store_true", help="show the rows' names")
    arguments = parser.parse_args()
    unknown = set(arguments.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"no row is named {', '.join(sorted(unknown))}; see --list")
    return arguments


def main() -> int:
    """Run what is asked for; return the exit status."""
    if sys.argv[1:2] == ["torture"]:
        return torture.main(sys.argv[2:])
    if sys.argv[1:2] == ["soak"]:
        return soak.main(sys.argv[2:])
    load_all()
    arguments = parse()
    if arguments.list:
        print("\n".join(f"{row.name:20} {row.fault}" for row in ROWS))
        return 0
    names = arguments.rows or [row.name for row in ROWS]
    seeds = {name: random.randrange(1 << 20) if arguments.seed is None else arguments.seed for name in names}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        results = run_rows(seeds, Path(folder), full=not arguments.short, jobs=arguments.jobs, report=report)
    print(markdown(results))
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
