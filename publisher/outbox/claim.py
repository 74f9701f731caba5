"""The relay's SQL: it claims the next rows, and records their outcome.

The guarantees do not depend on locks:

- a row has the key under which it is published, so any number of attempts publish it once;
- a tenant's rows are read in one snapshot and published in the order of their ids, each after Redis has
  the one before. A snapshot with a row also has every row that was committed before that one was written;
- ids are never reused, so a relay that was away for long deletes only rows that it has published.

So two relays at the same rows do no harm. Locks on PostgreSQL only spare them the double work, tenant by
tenant. (SKIP LOCKED, row by row, would let one relay overtake the other within a tenant.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Table, delete, func, select, union_all, update

from publisher.outbox import locks
from publisher.outbox.entry import Entry

SUPPORTED = ("postgresql", "sqlite")
_FACTS = tuple(Entry.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a relay claims at a time of the rows that wait to be published."""

    rows: int
    tenants: int
    hold_s: float
    """Half of the seconds after which PostgreSQL ends a relay that hangs, and so frees its tenants."""


class Stored(NamedTuple):
    """A row of the outbox, as the database has it."""

    id: int
    entry: Entry


class Claim(NamedTuple):
    """Rows to publish, in order for each tenant, and the tenant after which to continue."""

    rows: list[Stored]
    last_tenant: str | None
    """The last tenant that was looked at; None if no tenant comes after it."""


def next_rows(connection: Connection, table: Table, after: str, limits: Limits) -> Claim:
    """Return the first rows of the next tenants, in alphabetical order after `after`, that no other relay holds.

    On PostgreSQL the transaction holds the tenants until it ends. On SQLite the transaction ends here, because
    one with an old snapshot could not write later.
    """
    if connection.dialect.name == "postgresql":
        # Every statement needs a snapshot of its own, taken after the tenants were locked.
        connection.execution_options(isolation_level="READ COMMITTED")
        hold_ms = str(int(limits.hold_s * 2000))
        connection.execute(select(func.set_config("idle_in_transaction_session_timeout", hold_ms, True)))
    tenants = list(connection.scalars(_waiting_tenants(table, after, limits.tenants)))
    mine = locks.try_to_relay(connection, table, tenants)
    rows = _rows(connection, table, mine, limits.rows) if mine else []
    if connection.dialect.name == "sqlite":
        connection.commit()
    return Claim(rows, tenants[-1] if len(tenants) == limits.tenants else None)


def settle(connection: Connection, table: Table, done: Iterable[int], refused: Mapping[int, str]) -> None:
    """Delete the rows that Redis has, write the reason into the refused ones, and commit."""
    for ident, why in refused.items():
        connection.execute(update(table).where(table.c.id == ident).values(refused=why))
    if done := sorted(done):
        connection.execute(delete(table).where(table.c.id.in_(done)))
    connection.commit()


def _waiting_tenants(table: Table, after: str, most: int) -> Select[Any]:
    """Return the query of the next tenants with rows. It jumps through the index: a scan would be slow."""
    first = select(func.min(table.c.tenant).label("tenant")).where(table.c.tenant > after, _waiting(table))
    found = select(first.scalar_subquery().label("tenant")).cte("found", recursive=True)
    again = table.alias()
    following = select(func.min(again.c.tenant)).where(again.c.tenant > found.c.tenant, _waiting(again))
    found = found.union_all(select(following.scalar_subquery()).where(found.c.tenant.is_not(None)))
    return select(found.c.tenant).where(found.c.tenant.is_not(None)).limit(most)


def _rows(connection: Connection, table: Table, tenants: list[str], most: int) -> list[Stored]:
    """Return the first rows of each tenant, the same number of each, so that a backlog delays no other tenant."""
    share = max(1, most // len(tenants))
    facts = [table.c[name] for name in _FACTS]
    parts = [
        select(table.c.id, *facts)
        .where(table.c.tenant == tenant, _waiting(table))
        .order_by(table.c.id)
        .limit(share)
        .subquery()
        for tenant in tenants
    ]
    found = union_all(*(select(part) for part in parts)) if len(parts) > 1 else select(parts[0])
    rows = [Stored(ident, Entry(*values)) for ident, *values in connection.execute(found)]
    return sorted(rows, key=lambda row: row.id)


def _waiting(table: Any) -> Any:
    return table.c.refused.is_(None)
