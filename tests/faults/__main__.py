"""Runs the rows and prints the table: `python -m tests.faults [--seed N] [--short] [--list] [row ...]`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.faults.rows import ROWS, Result, run
from tests.faults.scenarios import load_all
from tests.faults.stage import FULL, SHORT
from tests.faults.table import markdown
from tests.support.browsers import Node


class Pages:
    """The process of the real browsers' clients, started when a row first wants it."""

    def __init__(self) -> None:
        self._node: Node | None = None

    def __call__(self) -> Node:
        self._node = self._node or Node()
        return self._node

    def close(self) -> None:
        if self._node is not None:
            self._node.close()


async def main(options: argparse.Namespace) -> list[Result]:
    """Run the chosen rows, one after the other."""
    chosen = [row for row in ROWS if not options.rows or row.name in options.rows]
    results, pages = [], Pages()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for row in chosen:
            seed = options.seed if options.seed is not None else random.randrange(1 << 20)
            scale = SHORT if options.short else FULL
            result = await run(row, scale, seed, Path(folder, row.name), node=pages)
            results.append(result)
            verdict = "holds" if result.holds else "FAILED"
            print(f"{verdict}  {row.name} --seed {seed}  ({result.took_s:.1f} s)", file=sys.stderr, flush=True)
            for line in (*result.troubles, *result.verdict.findings()):
                print(f"    {line}", file=sys.stderr, flush=True)
    pages.close()
    return results


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("rows", nargs="*", help="names of rows; all without any")
    parser.add_argument("--seed", type=int, help="replay with this seed; each row draws its own without")
    parser.add_argument("--short", action="store_true", help="few clients and events, as `make test` runs them")
    parser.add_argument("--list", action="store_true", help="show the rows' names")
    return parser.parse_args()


if __name__ == "__main__":
    load_all()
    arguments = parse()
    if arguments.list:
        print("\n".join(f"{row.name:32} {row.fault}" for row in ROWS))
        sys.exit(0)
    table = asyncio.run(main(arguments))
    print(markdown(table))
    sys.exit(not all(result.holds for result in table))
