"""Writing events into the outbox, in the caller's own transaction."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any, overload

from sqlalchemy import Connection, Table, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from publisher.envelope import Envelope, Options
from publisher.outbox import locks
from publisher.outbox.entry import Entry, entries_of
from publisher.verbs import Receipt, Verbs

Blocking = Session | Connection | scoped_session[Any]
Asynchronous = AsyncSession | AsyncConnection | async_scoped_session[Any]


class Outbox:
    """The outbox in a table. It holds nothing: one for the whole process serves every thread and loop.

    `options` matters only for its `max_payload_bytes` and `validate`; how long histories and keys are kept is the
    relay's affair.

    With `strict_order`, the transactions of one tenant wait for each other on PostgreSQL, each from its
    first event to its end: their events are published in exactly the order of the commits. Add events
    last then, and commit soon; two transactions that each hold a row and want the other's tenant are a
    deadlock, which PostgreSQL ends by aborting one. SQLite has one writer at a time and is always strict.
    """

    def __init__(self, table: Table, *, options: Options | None = None, strict_order: bool = False) -> None:
        self.table = table
        self.options = options or Options()
        self.strict_order = strict_order

    @overload
    def within(self, transaction: Blocking) -> Verbs[Receipt]: ...

    @overload
    def within(self, transaction: Asynchronous) -> Verbs[Coroutine[Any, Any, Receipt]]: ...

    def within(self, transaction: Blocking | Asynchronous) -> Verbs[Any]:
        """Return the publisher's verbs for a session or connection; what they write is part of its transaction.

        Nothing is published unless that is committed, and all of it once it is. The verbs check their
        arguments at the call, as everywhere. Their receipt has no offset: it says `queued=True`. An
        ephemeral event raises `InvalidEvent`. Several events of one transaction are published in the order
        in which they were added. Add an event after the change it tells of, and the event of whoever waited
        for your lock on that row comes after yours.
        """
        if isinstance(transaction, async_scoped_session):
            return _AsyncWriter(self, transaction())
        if isinstance(transaction, (AsyncSession, AsyncConnection)):
            return _AsyncWriter(self, transaction)
        return _Writer(self, transaction)

    def _insert(self, transaction: Blocking, entries: list[Entry]) -> Receipt:
        connection = transaction if isinstance(transaction, Connection) else transaction.connection()
        for entry in entries:
            if self.strict_order:
                locks.queue_up(connection, self.table, entry.tenant)
            connection.execute(insert(self.table), asdict(entry))
        return Receipt(None, queued=True)


class _Writer(Verbs[Receipt]):
    def __init__(self, outbox: Outbox, transaction: Blocking) -> None:
        self._options = outbox.options
        self._outbox = outbox
        self._transaction = transaction

    def _send(self, envelope: Envelope) -> Receipt:
        return self._outbox._insert(self._transaction, entries_of(envelope))


class _AsyncWriter(Verbs[Coroutine[Any, Any, Receipt]]):
    def __init__(self, outbox: Outbox, transaction: AsyncSession | AsyncConnection) -> None:
        self._options = outbox.options
        self._outbox = outbox
        self._transaction = transaction

    def _send(self, envelope: Envelope) -> Coroutine[Any, Any, Receipt]:
        return self._transaction.run_sync(self._outbox._insert, entries_of(envelope))
