"""The outbox: events that are written in a database transaction, and published after it is committed.

    from publisher.outbox import Outbox, OutboxRelay, outbox_table

    outbox = Outbox(outbox_table(Base.metadata))

    async with sessions.begin() as session:
        session.add(message)
        await outbox.within(session).message_new(organization_id, message_dict)

A relay, `gateway relay` or `OutboxRelay(...).run()`, publishes the committed events: none is lost, none comes
twice, and each tenant's are in order. See README.md in this folder. This needs the extra `outbox`.
"""

from publisher.outbox.relay import OutboxRelay, RelayCounters, Relaying
from publisher.outbox.table import outbox_table
from publisher.outbox.writing import Outbox

__all__ = ["Outbox", "OutboxRelay", "RelayCounters", "Relaying", "outbox_table"]
