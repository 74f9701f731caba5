"""Runs seeds and prints the table: `python -m tests.faults torture [--seed N | --seeds 1-10] [--minutes 5]`."""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.faults.torture.report import markdown, summary
from tests.faults.torture.trial import Outcome, Scale, Trial

FOLDER = Path(__file__).parents[3] / ".artifacts" / "torture"
SHOWN = 20


def run(seed: int, scale: Scale, folder: Path) -> Outcome:
    """Run one seed in this process."""
    folder.mkdir(parents=True, exist_ok=True)
    return asyncio.run(Trial(seed, scale, folder).run())


def main(words: Sequence[str]) -> int:
    """Run what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults torture", description=__doc__)
    parser.add_argument("--seed", type=int, help="one seed; drawn without")
    parser.add_argument("--seeds", help="several, as in 1-10")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--tabs", type=int, default=Scale.tabs)
    parser.add_argument("--rate", type=float, default=Scale.rate, help="events a second over all tenants")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at the same time")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where logs go")
    chosen = parser.parse_args(words)
    scale = Scale(chosen.minutes * 60, tabs=chosen.tabs, rate=chosen.rate)
    outcomes = []
    with ProcessPoolExecutor(chosen.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(run, seed, scale, chosen.folder / f"seed-{seed}") for seed in _seeds(chosen)]
        for future in as_completed(futures):
            outcome = future.result()
            outcomes.append(outcome)
            print("\n".join(summary(outcome, SHOWN)), file=sys.stderr, flush=True)
    print(markdown(sorted(outcomes, key=lambda outcome: outcome.seed)))
    return 0 if all(outcome.holds for outcome in outcomes) else 1


def _seeds(chosen: argparse.Namespace) -> Sequence[int]:
    if chosen.seeds:
        first, _, last = chosen.seeds.partition("-")
        return range(int(first), int(last or first) + 1)
    return [random.randrange(1 << 20) if chosen.seed is None else chosen.seed]
