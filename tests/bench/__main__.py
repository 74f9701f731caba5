"""`python -m tests.bench`: measure, print the tables, write the JSON document and the chart."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from gateway.app.process import raise_file_limit
from gateway.dev.embedded_redis import EmbeddedError
from tests.bench import chart, document, node, tables
from tests.bench.measure import Figures, Storm, Traffic, measure
from tests.bench.scenarios import SCENARIOS, Course, Scenario
from tests.bench.systems import System, of_node, of_python, versions
from tests.bench.worker import BenchError
from tests.support.environment import ROOT

ARTIFACTS = ROOT / ".artifacts" / "bench"
PUBLISHED = Path(__file__).parent


def main() -> int:
    """Run what the command line asks for; 1 where the gateway lost an event or delivered one twice."""
    given = arguments()
    signal.signal(signal.SIGTERM, _exit)
    raise_file_limit()
    systems, has_node = contestants(given.settings)
    outcome = document.begin(systems, versions(with_node=has_node), quick=given.quick)
    began = time.monotonic()
    for scenario, course in courses(given, systems):
        for name in course.systems:
            document.add(outcome, scenario.name, name, course.load, attempt(scenario, systems[name], course.load))
    say(tables.render(outcome))
    write(outcome, ARTIFACTS)
    if given.publish:
        write(outcome, PUBLISHED)
    say(f"{time.monotonic() - began:.0f} s; results.json and results.svg are in {ARTIFACTS.relative_to(ROOT)}")
    wrong = document.shortcomings(outcome)
    say("".join(f"WRONG: {line}\n" for line in wrong), end="")
    return 1 if wrong else 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="The gateway beside its rivals.")
    parser.add_argument("--quick", action="store_true", help="less of everything, in about a minute")
    parser.add_argument("--only", type=words, metavar="SYSTEM,…", help="gateway, python-socketio, node, …")
    parser.add_argument("--scenarios", type=words, default=names, metavar="NAME,…", help=", ".join(names))
    parser.add_argument(
        "--set", type=setting, action="append", default=[], metavar="NAME=VALUE", help="a setting of the gateway's"
    )
    parser.add_argument("--publish", action="store_true", help="also replace the results that the README shows")
    given = parser.parse_args()
    given.settings = dict(given.set)
    if unknown := set(given.scenarios) - set(names):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    if given.publish and (given.quick or given.only or given.set or given.scenarios != names):
        parser.error("--publish takes a full run, of everything, with the defaults")
    return given


def words(text: str) -> list[str]:
    """Read a comma-separated list."""
    return [word.strip() for word in text.split(",")]


def setting(text: str) -> tuple[str, str]:
    """Read NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("NAME=VALUE is wanted")
    return name, value


def contestants(settings: dict[str, str]) -> tuple[dict[str, System], bool]:
    """Return all systems that can run here by their names, and whether Node's are among them."""
    found = of_python(settings)
    try:
        of_javascript = of_node(node.installed())
    except RuntimeError as error:
        say(f"without Node's socket.io: {error}")
        of_javascript = []
    return {system.name: system for system in [*found, *of_javascript]}, bool(of_javascript)


def courses(given: argparse.Namespace, systems: dict[str, System]) -> list[tuple[Scenario, Course]]:
    """Return what is to be run, with the systems that are here and asked for."""
    asked = [
        (scenario, scenario.quick if given.quick else scenario.full)
        for scenario in SCENARIOS
        if scenario.name in given.scenarios
    ]
    wanted = [name for name in systems if not given.only or name in given.only]
    return [
        (scenario, course._replace(systems=tuple(name for name in course.systems if name in wanted)))
        for scenario, course in asked
        if course is not None
    ]


def attempt(scenario: Scenario, system: System, load: Traffic | Storm) -> Figures | str:
    """Measure; return the reason where that is not possible."""
    say(f"{scenario.name}: {system.label} …", end=" ")
    try:
        figures = measure(system, load)
    except (BenchError, EmbeddedError) as error:
        say(f"failed: {error}")
        return str(error)
    say(f"{figures['measured_in_s']:.0f} s")
    return figures


def write(outcome: document.Document, folder: Path) -> None:
    """Write the document and the chart."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(outcome, indent=1, ensure_ascii=False) + "\n")
    (folder / "results.svg").write_text(chart.render(outcome))


def say(text: str, end: str = "\n") -> None:
    """Print at once."""
    print(text, end=end, flush=True)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    # An exception: what was started is ended on the way out.
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
