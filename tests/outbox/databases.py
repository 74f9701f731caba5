"""The backend's database, as a test writes to it and looks into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, create_engine, func, select, text

from publisher import Receipt
from publisher.outbox import Outbox, outbox_table
from publisher.verbs import Verbs


class BackendDatabase:
    """A database with an outbox."""

    def __init__(self, url: str) -> None:
        self.url = url
        """For an engine that blocks."""
        self.async_url = url.replace("sqlite:", "sqlite+aiosqlite:").replace("+psycopg:", "+psycopg_async:")
        """For an asynchronous engine."""
        self.is_sqlite = url.startswith("sqlite")
        self.engine = create_engine(url)
        self.table = outbox_table()
        self.outbox = Outbox(self.table)

    def __enter__(self) -> Self:
        with self.engine.connect() as connection:
            if self.is_sqlite:
                connection.execute(text("pragma journal_mode=wal"))
            self.table.metadata.create_all(connection)
            connection.commit()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Verbs[Receipt]]:
        """Return the outbox's verbs within one transaction, which is then committed."""
        with self.engine.begin() as connection:
            yield self.outbox.within(connection)

    def rows(self) -> list[Any]:
        """Return what is in the outbox."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(self.table).order_by(self.table.c.id)))

    def is_empty(self) -> bool:
        """Return whether everything was relayed."""
        return self.count() == 0

    def count(self) -> int:
        """Return the number of rows."""
        with self.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(self.table)) or 0

    @contextmanager
    def undeletable(self) -> Iterator[None]:
        """Keep relays from deleting rows, not from reading them."""
        with self.engine.connect() as connection:
            hold(connection, self)
            yield
            connection.rollback()


def hold(connection: Connection, database: BackendDatabase) -> None:
    """Lock what a relay needs to delete rows."""
    if database.is_sqlite:
        connection.execute(text("begin immediate"))
    else:
        connection.execute(select(database.table).with_for_update())
