"""Fuzzes with atheris: `python -m tests.fuzz TARGET --seconds 60`; `all` takes turns between the targets.

What it finds is printed with its traceback, and the input is written to a file in the working directory;
`python -m tests.fuzz TARGET FILE` runs it again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["gateway", "publisher", "tests.fuzz.targets"], enable_loader_override=False
):
    from tests.fuzz.targets import TARGETS

MAX_INPUT = 4096


def by_turns(data: bytes) -> None:
    """Feed the target that the first byte names."""
    if data:
        names = list(TARGETS)
        function, _ = TARGETS[names[data[0] % len(names)]]
        function(data[1:])


def seeds(name: str) -> list[bytes]:
    """Return the inputs to begin from."""
    if name != "all":
        return list(TARGETS[name][1])
    return [bytes([i]) + seed for i, (_, seeds) in enumerate(TARGETS.values()) for seed in seeds]


def main() -> None:
    """Fuzz until the time is up or something is found; ends the process."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=["all", *TARGETS])
    parser.add_argument("--seconds", type=int, default=60, help="how long; 0 is without end")
    parser.add_argument("--runs", type=int, default=-1, help="how many inputs, if that is less")
    parser.add_argument("--seed", type=int, default=0, help="draw the same inputs again; 0 is chance")
    parser.add_argument("--corpus", type=Path, help="folder to keep interesting inputs in, for the next time")
    parser.add_argument("file", nargs="?", help="run this one input again")
    arguments = parser.parse_args()
    if arguments.corpus is None:
        # The fuzzer ends its process on the spot: somebody has to be left to clear up.
        with tempfile.TemporaryDirectory() as folder:
            again = [sys.executable, "-m", "tests.fuzz", *sys.argv[1:], "--corpus", folder]
            sys.exit(subprocess.run(again, check=False).returncode)
    fuzz(arguments)


def fuzz(arguments: argparse.Namespace) -> None:
    """Fuzz in this process, and end it."""
    arguments.corpus.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(seeds(arguments.target)):
        (arguments.corpus / f"seed-{i}").write_bytes(seed)
    limits = [f"-max_total_time={arguments.seconds}", f"-runs={arguments.runs}", f"-seed={arguments.seed}"]
    limits += [f"-max_len={MAX_INPUT}", "-timeout=10"]
    function = by_turns if arguments.target == "all" else TARGETS[arguments.target][0]
    atheris.Setup([sys.argv[0], *limits, arguments.file or str(arguments.corpus)], function)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
