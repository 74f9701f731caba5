"""What was committed to the outbox, compared with what Redis published."""

from __future__ import annotations

from tests.simulation.publishing import SHOWN
from tests.simulation.story import Story
from tests.simulation.truth import Committed


def relaying(story: Story) -> list[str]:
    """Return what is wrong with the outbox: what was committed is published, nothing else, and in this order.

    That nothing is published twice is among `events`. A Redis that has lost writes may get some again, later.
    """
    outbox, truth = story.outbox, story.cluster.truth
    database = outbox.database
    if database is None:
        return []
    committed = {row.ident: row for row in database.committed}
    found = [
        f"{relay.name} did not end" for relay in outbox.relays if relay.process.is_alive and not relay.has_ended
    ]
    found += [
        f"{ident} was published and not committed"
        for ident in truth.events
        if outbox.is_of_outbox(ident) and ident not in committed
    ]
    last: dict[str, Committed] = {}
    for row in committed.values():
        event = truth.events.get(row.ident)
        if event is None:
            if "version" not in row.how:
                found.append(f"{row.ident} was committed and never published")
            continue
        if (event.tenant, *event.rooms) != (row.tenant, *row.rooms):
            found.append(f"{row.ident} was for {row.tenant} {row.rooms}, and went to {event}")
        earlier = last.setdefault(row.tenant, event)
        if event.seq < earlier.seq and not story.plan.forgets:
            found.append(f"{event} was committed behind {earlier}")
        last[row.tenant] = event
    if waiting := database.waiting():
        found.append(f"{waiting} rows are left")
    if (refused := database.refused()) != database.strangers:
        found.append(f"{refused} rows were set aside, {database.strangers} are of another program")
    return found[:SHOWN]
