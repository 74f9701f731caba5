"""`python -m tests.bench.presence`: what it costs to know who is online, in Redis and in what browsers are told.

Idle sockets in one organization and in many, then a whole organization that comes, is cut off and comes back.
Pages take several changes in one event, as the client in `gateway/client` does; others are sent some 2.5 times
the bytes. Prints two tables; takes some ten minutes.
"""

from __future__ import annotations

import argparse
import time
import urllib.request
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from gateway.app.process import raise_file_limit
from tests.bench.measure import Stage, stage
from tests.bench.sizing import Redis
from tests.bench.systems import of_python

# At its limit of connections a second, what is measured would be waiting.
GATEWAY = of_python({"GATEWAY_CONNECTS_PER_S": "0"})[0]
LEASE_S = 30
# Each lease is renewed in every third of it.
IDLE_S = LEASE_S * 2
GRACE_S = 5
# Until all of a crowd have been named, some hundreds at a time, and every session says that its socket heard so.
SETTLED_S = 120
PRESENCE = ("user:status", "user:statuses")

IDLE = (
    "| {sockets:,} idle sockets, {organizations:,} organization(s) | {scripts:.1f} | {calls:.0f} | {redis:.2f} % "
    "| {gateway:.2f} % |"
)
CROWD = "| {what} | {events:,.0f} | {deliveries:,.0f} | {naive:,} | {kib:,.0f} KiB |"


def idle(sockets: int, organizations: int) -> str:
    """Let sockets be idle, and count what Redis is asked meanwhile."""
    with stage(GATEWAY, sockets, sockets // 2, organizations=organizations) as on:
        on.crowd.connect()
        server = Redis(on.redis)
        rested, before = on.replicas.come_to_rest(), server.sample()
        time.sleep(IDLE_S)
        later, after = on.replicas.usage(), server.sample()
    return IDLE.format(
        sockets=sockets,
        organizations=organizations,
        scripts=(after["scripts"] - before["scripts"]) / IDLE_S,
        calls=(after["calls"] - before["calls"]) / IDLE_S,
        redis=(after["cpu_us"] - before["cpu_us"]) / IDLE_S / 1e4,
        gateway=(later.cpu_s - rested.cpu_s) / IDLE_S * 100,
    )


def told(on: Stage) -> Counter[str]:
    """Return how many events on presence the replicas heard, and handed to sockets."""
    counted: Counter[str] = Counter()
    for port in on.replicas.ports:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                for sample in family.samples:
                    if sample.labels.get("event") in PRESENCE:
                        counted[sample.name] += int(sample.value)
    return counted


def crowd(users: int) -> list[str]:
    """Have an organization's users come at once, come back within the grace time, and after it."""
    rows: list[str] = []
    with stage(GATEWAY, users, users // 2) as on:
        for what, away_s, naive in (
            ("come at once", 0.0, users * (users - 1) // 2),
            ("are cut off, and come back at once", 0.0, users * (users - 1)),
            (f"are away for {GRACE_S + 3} s, and come back", GRACE_S + 3.0, users * (users - 1) // 2),
        ):
            on.crowd.begin()
            before = told(on)
            if rows:
                on.crowd.drop()
                time.sleep(away_s)
            arrived = on.crowd.connect()["arrived"]
            assert arrived == users, arrived
            time.sleep(SETTLED_S)
            got = on.crowd.receive(0)
            after = told(on)
            rows.append(
                CROWD.format(
                    what=f"{users:,} users {what}",
                    events=after["gateway_events_total"] - before["gateway_events_total"],
                    deliveries=after["gateway_deliveries_total"] - before["gateway_deliveries_total"],
                    naive=naive,
                    kib=got.bytes / 1024,
                )
            )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.presence")
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=2_000)
    given = parser.parse_args()
    raise_file_limit()
    print("| | scripts/s | commands/s | Redis | the replica |\n| --- | --- | --- | --- | --- |")
    for organizations in (1, given.sockets // 20):
        print(idle(given.sockets, organizations), flush=True)
    print("\n| | events | deliveries | one event a change would be | sent to sockets |")
    print("| --- | --- | --- | --- | --- |")
    print("\n".join(crowd(given.users)))


if __name__ == "__main__":
    main()
