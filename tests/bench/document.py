"""The outcome of a run as one JSON document: what tables and chart are made from."""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Mapping
from typing import Any

from tests.bench.measure import Figures, Storm, Traffic
from tests.bench.scenarios import INBOX, REPLICAS, SCENARIOS
from tests.bench.systems import GATEWAY, System

Document = dict[str, Any]
# Above this share of the cores the figures of two systems were not taken on the same machine, so to say.
BUSY = 0.25
WRONG = ("lost", "twice", "late", "cut_sockets")


def begin(systems: Mapping[str, System], versions: Mapping[str, str], *, quick: bool) -> Document:
    """Describe the run that is about to begin."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    return {
        "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": cores,
            "load_before": round(load, 2),
            "was_busy": load > BUSY * cores,
        },
        "versions": dict(versions),
        "labels": {name: system.label for name, system in systems.items()},
        "scenarios": {},
    }


def add(document: Document, scenario: str, system: str, load: Traffic | Storm, outcome: Figures | str) -> None:
    """Enter what a system did: its figures, or why there are none."""
    entry = document["scenarios"].setdefault(scenario, {"load": load._asdict(), "systems": {}})
    if isinstance(outcome, str):
        entry["systems"][system] = {"error": outcome}
        return
    known = {name: round(value, 3) for name, value in outcome.items() if not math.isnan(value)}
    if scenario == REPLICAS and (one := figures(document, INBOX).get(system)):
        known["cpu_of_one"] = round(known["delivery_cpu_us"] / one["delivery_cpu_us"], 3)
    entry["systems"][system] = known


def figures(document: Document, scenario: str) -> dict[str, dict[str, float]]:
    """Return the figures of each system that has some."""
    systems = document["scenarios"].get(scenario, {}).get("systems", {})
    return {name: found for name, found in systems.items() if "error" not in found}


def load_of(document: Document, scenario: str) -> dict[str, Any]:
    """Return a scenario's load by its parts' names."""
    found: dict[str, Any] = document["scenarios"][scenario]["load"]
    return found


def is_finished(found: Mapping[str, float], load: Mapping[str, Any]) -> bool:
    """Return whether every socket was back before a storm's time was up; true for all other loads."""
    return "arrived" not in found or found["arrived"] == load["sockets"]


def shortcomings(document: Document) -> list[str]:
    """Return what the gateway got wrong, a line each: these are no matters of speed."""
    found = []
    for scenario in SCENARIOS:
        mine = document["scenarios"].get(scenario.name, {}).get("systems", {}).get(GATEWAY)
        if mine is None:
            continue
        found += [f"{scenario.name}: {mine['error']}"] if "error" in mine else []
        found += [f"{scenario.name}: {name} {mine[name]:.0f}" for name in WRONG if mine.get(name)]
        if "error" not in mine and not is_finished(mine, load_of(document, scenario.name)):
            found.append(f"{scenario.name}: {mine['arrived']:.0f} sockets came back in time")
    return found
