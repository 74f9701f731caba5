"""The table, for PostgreSQL and SQLite: one row for each event that is committed and not yet published.

Ids order the rows of a tenant. They are never reused, not even by SQLite, so that a late relay can't delete
a row that it never saw. PostgreSQL's sequence must keep its `CACHE 1`, or a transaction could get lower ids
than one that was committed before it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    func,
)

NAME = "realtime_outbox"

_Id = BigInteger().with_variant(Integer(), "sqlite")


def outbox_table(metadata: MetaData | None = None, *, name: str = NAME, schema: str | None = None) -> Table:
    """Return the outbox's table, defined in the caller's `metadata` or in a new one.

    In the caller's, `metadata.create_all` creates the table, and Alembic's autogenerate finds it. A second call
    returns the same table.
    """
    metadata = MetaData() if metadata is None else metadata
    known = metadata.tables.get(f"{schema or metadata.schema}.{name}" if schema or metadata.schema else name)
    if known is not None:
        return known
    table = Table(
        name,
        metadata,
        Column("id", _Id, primary_key=True, autoincrement=True),
        Column("tenant", String(36), nullable=False),
        Column("kind", String(16), nullable=False, comment="event or control"),
        Column("body", LargeBinary, nullable=False, comment="JSON as it is published"),
        Column("rooms", Text, nullable=False, comment="whom it is for, separated by spaces"),
        Column("key", String(200), comment="publishes once"),
        Column("version", BigInteger, comment="with the key: what is older is dropped"),
        Column("skip_sid", String(64), comment="socket that is left out"),
        Column("revoke", String(200), comment="of a control command: what is taken away"),
        Column("conflate", String(200), comment="key under which a later event takes this one's place"),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.current_timestamp()),
        Column("refused", Text, comment="why it will never be published; such a row is kept and passed over"),
        schema=schema,
        sqlite_autoincrement=True,
    )
    waiting = table.c.refused.is_(None)
    Index(
        f"ix_{name}_waiting",
        table.c.tenant,
        table.c.id,
        postgresql_where=waiting,
        sqlite_where=waiting,
    )
    return table
