"""Locks on tenants: PostgreSQL's advisory locks, which end with their transaction.

A lock is a pair of 32-bit numbers; an application's own locks usually are single 64-bit numbers, which never
collide with pairs. Two tenants with the same number only wait for each other. SQLite needs no locks: it has
one writer at a time.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from sqlalchemy import Connection, Integer, Table, func, literal, select


def queue_up(connection: Connection, table: Table, tenant: str) -> None:
    """Wait for a tenant's write lock, and hold it until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(*_numbers(table, "write", tenant))))


def try_to_relay(connection: Connection, table: Table, tenants: Sequence[str]) -> list[str]:
    """Lock those tenants that no other relay has locked, until the transaction ends; return them."""
    if connection.dialect.name != "postgresql" or not tenants:
        return list(tenants)
    taken = connection.execute(
        select(*(func.pg_try_advisory_xact_lock(*_numbers(table, "relay", tenant)) for tenant in tenants))
    ).one()
    return [tenant for tenant, mine in zip(tenants, taken, strict=True) if mine]


def _numbers(table: Table, purpose: str, tenant: str) -> list[object]:
    return [literal(_number(f"{purpose} {table.fullname}"), Integer), literal(_number(tenant), Integer)]


def _number(text: str) -> int:
    return zlib.crc32(text.encode()) - 2**31
