"""What is measured, in the order in which it is: the loads, in full and quick, and who takes part."""

from __future__ import annotations

from typing import NamedTuple

from tests.bench.measure import Storm, Traffic

FAN_OUT, INBOX, REPLICAS = "fan-out", "inbox", "replicas"
COMPRESSION, STORM, BIG_STORM = "compression", "storm", "big-storm"
BOTH = ("gateway", "python-socketio+uvloop")
FASTEST = (*BOTH, "node", "node-streams", "node+uws")
ALL = ("gateway", "python-socketio", *FASTEST[1:])
# The one rival that can recover.
RECOVERING = ("gateway", "node-streams")


class Course(NamedTuple):
    """A load and who is put under it."""

    load: Traffic | Storm
    systems: tuple[str, ...]


class Scenario(NamedTuple):
    """One thing to measure; `quick` is the course of a quick run, None leaves it out."""

    name: str
    title: str
    full: Course
    quick: Course | None


SCENARIOS = (
    Scenario(
        FAN_OUT,
        "Fan-out: few large rooms",
        Course(Traffic(sockets=1000, rooms=10, rate=100, rounds=100), ALL),
        Course(Traffic(sockets=1000, rooms=10, rate=100, rounds=20), FASTEST),
    ),
    Scenario(
        INBOX,
        "Inbox: many rooms of two",
        Course(Traffic(sockets=2000, rooms=1000, rate=400, rounds=3), ALL),
        Course(Traffic(sockets=1000, rooms=500, rate=400, rounds=2), (*BOTH, "node")),
    ),
    Scenario(
        REPLICAS,
        "Replicas: the inbox again, its rooms spread over four",
        Course(Traffic(sockets=2000, rooms=1000, rate=400, rounds=3, replicas=4), FASTEST),
        None,
    ),
    Scenario(
        COMPRESSION,
        "Compression: clients that offer permessage-deflate, as browsers do",
        Course(Traffic(sockets=1000, rooms=10, rate=100, rounds=50, deflate=True), (*BOTH, "node", "node+uws")),
        Course(Traffic(sockets=500, rooms=5, rate=100, rounds=20, deflate=True), BOTH),
    ),
    Scenario(
        STORM,
        "Reconnect storm: all drop, miss 20 events each, and come back at once",
        Course(Storm(sockets=500, missed=20), RECOVERING),
        Course(Storm(sockets=200, missed=20), RECOVERING),
    ),
    Scenario(BIG_STORM, "The same storm, larger", Course(Storm(sockets=2000, missed=20), RECOVERING), None),
)
