"""Locks by tenant, PostgreSQL's advisory ones: each ends with the transaction that took it.

They are pairs of 32-bit numbers, apart from an application's own, which usually are single 64-bit ones.
Two tenants that meet on one number wait for each other, and nothing worse. SQLite has none and needs
none: it has one writer at a time.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from sqlalchemy import Connection, Integer, Table, func, literal, select


def queue_up(connection: Connection, table: Table, tenant: str) -> None:
    """Wait until no other transaction writes for this tenant, and let none do so before this one ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(*_numbers(table, "write", tenant))))


def try_to_relay(connection: Connection, table: Table, tenants: Sequence[str]) -> list[str]:
    """Return those of the tenants that no other relay is at; none will be before this transaction ends."""
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
