"""`python -m tests.simulation.mutants`: plants one fault at a time in the product. Which are found?

A mutant is a line of `mutants.txt`. It is found by the first seed whose promises it breaks, if the unchanged
product keeps all promises with that seed, or, with `--told`, by a story of `test_interleavings.py`.
What is not changed is linked, and so must not be edited meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.simulation.mixing import mixed

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("mutants.txt")
# What the simulation needs of the repository.
NEEDED = ("gateway", "publisher", "tests/__init__.py", "tests/simulation", "tests/faults", "tests/support")

_FAILING = re.compile(r"seed (\d+) \(.*fails$")
_DONE = re.compile(r"\d+ [0-9a-f]{8}$")
_BROKEN = re.compile(r"  ([a-z_]+): ")


class Mutant(NamedTuple):
    """A fault: in the file, the nth occurrence of a text is replaced."""

    name: str
    path: str
    nth: int
    text: str
    replacement: str

    def source(self) -> str:
        """Return the file with the fault; raises `ValueError` if the text is not there, or not only once."""
        source = (ROOT / self.path).read_text()
        pieces = source.split(self.text)
        found = len(pieces) - 1
        if found < max(self.nth, 1) or (found > 1 and not self.nth):
            raise ValueError(f"{self.name}: {self.path} has {found} times: {self.text}")
        nth = max(self.nth, 1)
        return self.text.join(pieces[:nth]) + self.replacement + self.text.join(pieces[nth:])


class Finding(NamedTuple):
    """What came of the seeds of one run."""

    seed: int | str | None
    """The first seed that failed, or the story; None if none did."""
    promises: tuple[str, ...]
    seeds: int
    """Number of seeds, with the one that failed."""


def read() -> list[Mutant]:
    """Return all mutants; raises `ValueError` for a line that is none."""
    found = []
    for line in FILE.read_text().splitlines():
        if line and not line.startswith("#"):
            name, path, change = line.split(" | ", 2)
            path, _, nth = path.partition("@")
            text, arrow, replacement = change.partition(" => ")
            if not arrow:
                raise ValueError(f"{name}: no =>")
            found.append(Mutant(name, path, int(nth or 0), text, replacement))
    return found


def plant(mutant: Mutant | None, folder: Path) -> None:
    """Make a folder that is the repository with a fault: a link for all that is not changed."""
    changed = None if mutant is None else Path(mutant.path)
    for needed in map(Path, NEEDED):
        _link(needed, folder, changed)
    if mutant is not None:
        (folder / mutant.path).write_text(mutant.source())


def _link(path: Path, folder: Path, changed: Path | None) -> None:
    """Link a path, or make it a folder if something below it is changed; leave the changed file out."""
    here = folder / path
    here.parent.mkdir(parents=True, exist_ok=True)
    if changed is None or not changed.is_relative_to(path):
        here.symlink_to(ROOT / path)
    elif path != changed:
        for entry in sorted((ROOT / path).iterdir()):
            if entry.name != "__pycache__":
                _link(path / entry.name, folder, changed)


@contextlib.asynccontextmanager
async def _process(mutant: Mutant | None, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module of the simulation on a product with a fault."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        plant(mutant, Path(folder))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *words),
            cwd=folder,
            env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 24,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class Runs:
    """Runs of the simulation, each in a process of its own; some at a time."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.failing: set[int] = set()
        """Seeds that fail with the unchanged product."""
        self._asked = asked
        self._slots = asyncio.Semaphore(asked.jobs)
        self._holding: set[int] = set()

    async def unchanged(self) -> None:
        """Run the first seeds with the unchanged product."""
        jobs, seeds = self._asked.jobs, self._order()[: self._asked.unchanged]
        await asyncio.gather(*(self._check_all(seeds[job::jobs]) for job in range(jobs)))

    async def _check_all(self, seeds: Iterable[int]) -> None:
        for seed in seeds:
            await self._holds(seed)

    async def _holds(self, seed: int) -> bool:
        """Return whether the unchanged product keeps all promises with a seed."""
        if seed not in self._holding | self.failing:
            finding = await self._simulate(None, [seed])
            (self._holding if finding.seed is None else self.failing).add(seed)
        return seed in self._holding

    def _order(self) -> list[int]:
        return [mixed(number) for number in range(self._asked.first, self._asked.first + self._asked.seeds)]

    async def find(self, mutant: Mutant) -> Finding:
        """Run a mutant until a seed fails that holds with the unchanged product."""
        async with self._slots:
            return await self._find(mutant)

    async def _find(self, mutant: Mutant) -> Finding:
        seeds, tried = [seed for seed in self._order() if seed not in self.failing], 0
        until = time.monotonic() + 60 * self._asked.minutes
        while seeds and time.monotonic() < until:
            finding = await self._simulate(mutant, seeds)
            tried += finding.seeds
            if not isinstance(finding.seed, int):
                break
            if await self._holds(finding.seed):
                return finding._replace(seeds=tried)
            tried, seeds = tried - 1, seeds[seeds.index(finding.seed) + 1 :]
        return Finding(await self._told(mutant) if self._asked.told else None, ("the story",), tried)

    async def _told(self, mutant: Mutant) -> str | None:
        """Return the first story that fails."""
        async with _process(mutant, "tests.simulation.apart", "tests.simulation.test_interleavings") as process:
            assert process.stdout is not None
            async for line in process.stdout:
                words = line.decode().split()
                if words[:1] == ["fails"]:
                    return words[1]
        return None

    async def _simulate(self, mutant: Mutant | None, seeds: Sequence[int]) -> Finding:
        words = [f"--these={','.join(map(str, seeds))}", "--stop", "--hashes", f"--ignore={self._asked.ignore}"]
        words += [f"--minutes={self._asked.minutes}"]
        async with _process(mutant, "tests.simulation", *words) as process:
            return await self._listen(process, seeds)

    async def _listen(self, process: asyncio.subprocess.Process, these: Sequence[int]) -> Finding:
        """Read what a run says; a seed that takes too long, and one at which the process ends, fail."""
        assert process.stdout is not None
        seed, promises, seeds, said = None, dict[str, None](), 0, b""
        while True:
            try:
                line = await asyncio.wait_for(process.stdout.readline(), self._asked.seed_s)
            except TimeoutError:
                return Finding(these[seeds], ("hanging",), seeds + 1)
            if not line:
                break
            said, text = line, line.decode().rstrip("\n")
            if _DONE.match(text):
                seeds += 1
            elif failing := _FAILING.match(text):
                seed = int(failing[1])
            elif seed is not None and (broken := _BROKEN.match(text)):
                promises[broken[1]] = None
        if await process.wait() and seed is None:
            return Finding(these[seeds], (f"ending: {said.decode().strip()[:60]}",), seeds + 1)
        return Finding(seed, tuple(promises), seeds)


async def run(asked: argparse.Namespace) -> int:
    """Run all mutants that are asked for; return the exit status."""
    mutants = [mutant for mutant in read() if not asked.only or mutant.name in asked.only.split(",")]
    for mutant in mutants:
        mutant.source()
    runs = Runs(asked)
    runs.failing.update(int(seed) for seed in asked.without.split(",") if seed)
    await runs.unchanged()
    if runs.failing:
        print("fail unchanged, and are left out:", *sorted(runs.failing), flush=True)
    findings = await asyncio.gather(*(_show(runs, mutant) for mutant in mutants))
    alive = [mutant.name for mutant, finding in zip(mutants, findings, strict=True) if finding.seed is None]
    print(f"{len(mutants)} mutants: {len(mutants) - len(alive)} found, {len(alive)} live", *alive, sep="\n  ")
    return 1 if alive else 0


async def _show(runs: Runs, mutant: Mutant) -> Finding:
    finding = await runs.find(mutant)
    if finding.seed is None:
        what = f"lives, after {finding.seeds} seeds"
    else:
        what = f"found by {', '.join(finding.promises)}, after {finding.seeds} seeds ({finding.seed})"
    print(f"{mutant.name}: {what}", flush=True)
    return finding


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="names of mutants, with commas; without it, all")
    parser.add_argument("--first", type=int, default=1, help="number of the first seed, in the mixed order")
    parser.add_argument("--seeds", type=int, default=1000, help="most seeds of a mutant")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no seed of a mutant after that")
    parser.add_argument("--seed-s", type=float, default=300.0, help="seconds after which a seed hangs")
    parser.add_argument("--told", action="store_true", help="try the stories of test_interleavings, too")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--unchanged", type=int, default=20, help="seeds of the unchanged product to begin with")
    parser.add_argument("--without", default="", help="seeds to leave out, with commas")
    parser.add_argument("--ignore", default="", help="promises that do not count, with commas")
    sys.exit(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
