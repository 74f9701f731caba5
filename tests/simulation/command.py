"""The command line: runs seeds, shows what fails, cuts it down."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.simulation.anything import run_story
from tests.simulation.mixing import drawn, mixed
from tests.simulation.plan import STORIES, STORY, draw
from tests.simulation.run import Outcome
from tests.simulation.run import run as run_plan
from tests.simulation.shrink import shrunk
from tests.simulation.system import real_monotonic

CORPUS = Path(__file__).with_name("corpus.txt")


def run(words: Sequence[str]) -> int:
    """Run the seeds that the arguments ask for; return the exit status."""
    asked = _parser().parse_args(words)
    if asked.seed is not None:
        return _one(asked)
    seeds = _seeds(asked)
    failed, number, simulated_s, real_s, owed = [], -1, 0.0, 0.0, 0
    began = real_monotonic()
    counts = _counts(asked)
    for number, seed in enumerate(seeds):
        outcome = outcome_of(seed, counts=counts if asked.stop else None)
        simulated_s += outcome.simulated_s
        real_s += outcome.real_s
        owed += outcome.owed
        if asked.hashes:
            print(f"{seed} {outcome.checksum:08x}", flush=True)
        if any(map(counts, outcome.broken)):
            failed.append(seed)
            _show(outcome)
            if asked.stop:
                break
        if asked.minutes and real_monotonic() - began > 60 * asked.minutes:
            print(f"time is up after {number + 1} seeds")
            break
    ran = number + 1
    print(
        f"{ran} seeds: {ran - len(failed)} hold, {len(failed)} fail; {owed} deliveries owed; "
        f"{simulated_s:.0f} s in {real_s:.0f} s, {simulated_s / max(real_s, 0.001):.0f} times real time"
    )
    if failed:
        print("failed:", *failed)
    return 1 if failed else 0


def outcome_of(seed: int, *, trace: bool = False, counts: Callable[[str], bool] | None = None) -> Outcome:
    """Run a seed of any kind; with `counts`, as `run`."""
    return run_story(seed, trace=trace) if seed >= STORIES else run_plan(draw(seed), trace=trace, counts=counts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulates whole clusters.")
    parser.add_argument("--seeds", type=int, default=100, help="number of new seeds")
    parser.add_argument("--first", type=int, help="first of the seeds, in a row; without it they are drawn")
    parser.add_argument("--mixed", action="store_true", help="with --first: the kinds of seeds take turns")
    parser.add_argument("--corpus", action="store_true", help="run the seeds that once failed, and no new ones")
    parser.add_argument("--minutes", type=float, default=0.0, help="begin no seed after so many minutes")
    parser.add_argument("--stop", action="store_true", help="run no seed after the first one that fails")
    parser.add_argument("--these", type=_numbers, default=(), help="run these seeds, with commas")
    parser.add_argument("--ignore", type=_words, default=(), help="promises that do not count, with commas")
    parser.add_argument("--hashes", action="store_true", help="print each seed's checksum")
    parser.add_argument("--seed", type=int, help="run one seed")
    parser.add_argument("--trace", action="store_true", help="with --seed: print what happens")
    parser.add_argument("--shrink", action="store_true", help="with --seed: cut a failing seed down")
    return parser


def _counts(asked: argparse.Namespace) -> Callable[[str], bool]:
    return lambda promise: promise not in asked.ignore


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in _words(text))


def _seeds(asked: argparse.Namespace) -> Iterable[int]:
    if asked.corpus:
        return [int(line.split()[0]) for line in CORPUS.read_text().splitlines() if line and line[0] != "#"]
    if asked.these:
        return asked.these  # type: ignore[no-any-return]
    if asked.first is not None:
        numbers = range(asked.first, asked.first + asked.seeds)
        return map(mixed, numbers) if asked.mixed else numbers
    seeds = [drawn(random.SystemRandom()) for _ in range(asked.seeds)]
    print("seeds:", *seeds, flush=True)
    return seeds


def _one(asked: argparse.Namespace) -> int:
    outcome = outcome_of(asked.seed, trace=asked.trace)
    if asked.trace:
        print("\n".join(outcome.lines))
    if asked.shrink and not outcome.holds and outcome.plan.kind != STORY:
        outcome = shrunk(outcome)
        for action in outcome.plan.actions:
            print(f"{action.at:8.3f} {action.what} {action.draws} {action.seconds:.3f}")
    _show(outcome)
    return 0 if outcome.holds else 1


def _show(outcome: Outcome) -> None:
    plan = outcome.plan
    size = f"{plan.replicas} replicas, {plan.pages} pages, {len(plan.actions)} actions, {outcome.events} events"
    verdict = "holds" if outcome.holds else "fails"
    print(f"seed {plan.seed} ({plan.kind}; {size}): {outcome.checksum:08x} {verdict}")
    for promise, wrong in outcome.broken.items():
        for line in wrong:
            print(f"  {promise}: {line}")
    sys.stdout.flush()
