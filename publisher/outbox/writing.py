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
    """Writes events into a table. It has no state: one instance serves all threads and event loops of a process.

    Of `options`, only `max_payload_bytes` and `validate` matter; the relay's options say how long histories and
    keys are kept.

    With `strict_order`, the transactions of one tenant wait for each other on PostgreSQL, each from its
    first event to its end, so their events are published in exactly the order of the commits. Then add
    events last, and commit soon. Two transactions that each hold a row and want the other's tenant are a
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
        """Return the publisher's verbs for a session or connection; they write events in its transaction.

        The events are published after that is committed, and only then. The verbs check their arguments at
        the call. Their receipt has no offset and says `queued=True`. An ephemeral event raises
        `InvalidEvent`. The events of one transaction are published in the order in which they were added. Add
        an event after the change that it reports: a transaction that waits for your lock on the changed row
        then adds its event after yours.
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
