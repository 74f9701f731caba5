"""The caller's side: events are part of the caller's own transaction."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from publisher import InvalidEvent, Options, Receipt, organization
from publisher.outbox import Outbox, OutboxRelay, outbox_table
from tests.outbox.databases import BackendDatabase
from tests.support.environment import clean_environment
from tests.support.tokens import new_id

ORG = new_id()
QUEUED = Receipt(None, queued=True)


def test_a_row_is_there_once_its_transaction_is_committed(database: BackendDatabase) -> None:
    with Session(database.engine) as session:
        assert database.outbox.within(session).unread_update(ORG, "u1", new_id(), 3) == QUEUED
        assert database.is_empty()
        session.commit()
    (row,) = database.rows()
    assert (row.tenant, row.rooms) == (ORG, "user:u1")


def test_a_rollback_leaves_nothing(database: BackendDatabase) -> None:
    with Session(database.engine) as session:
        database.outbox.within(session).disconnect_user(ORG, "u1")
        session.rollback()
    assert database.is_empty()


def test_what_is_not_as_its_type_says_is_refused_before_it_is_written(database: BackendDatabase) -> None:
    outbox = Outbox(database.outbox.table, options=Options(validate="raise"))
    with Session(database.engine) as session:
        with pytest.raises(InvalidEvent, match="notification:new: type is missing"):
            outbox.within(session).notification_new(ORG, "u1", {"notification_id": "n1"})
        session.commit()
    assert database.is_empty()


def test_a_savepoint_that_is_rolled_back_leaves_nothing_of_its_own(database: BackendDatabase) -> None:
    with Session(database.engine) as session, session.begin():
        events = database.outbox.within(session)
        events.disconnect_user(ORG, "kept")
        with session.begin_nested() as inner:
            events.disconnect_user(ORG, "dropped")
            inner.rollback()
    assert [row.rooms for row in database.rows()] == ["user:kept"]


def test_a_connection_serves_as_well_as_a_session(database: BackendDatabase) -> None:
    with database.engine.begin() as connection:
        database.outbox.within(connection).disconnect_user(ORG, "u1")
    assert database.count() == 1


def test_a_scoped_session_serves_as_well(database: BackendDatabase) -> None:
    sessions = scoped_session(sessionmaker(database.engine))
    database.outbox.within(sessions).disconnect_user(ORG, "u1")
    sessions.commit()
    sessions.remove()
    assert database.count() == 1


@pytest.mark.parametrize("how", ["session", "connection", "scoped"])
async def test_asynchronous_transactions_are_awaited(database: BackendDatabase, how: str) -> None:
    engine = create_async_engine(database.async_url)
    sessions = async_sessionmaker(engine)
    transactions: dict[str, Any] = {
        "session": sessions,
        "connection": engine.connect,
        "scoped": lambda: async_scoped_session(sessions, lambda: None)(),
    }
    transaction = transactions[how]()
    async with transaction:
        assert await database.outbox.within(transaction).disconnect_user(ORG, "kept") == QUEUED
        await transaction.commit()
        await database.outbox.within(transaction).disconnect_user(ORG, "dropped")
        await transaction.rollback()
    await engine.dispose()
    assert [row.rooms for row in database.rows()] == ["user:kept"]


async def test_asyncpg_serves_as_well(postgres: BackendDatabase) -> None:
    engine = create_async_engine(postgres.url.replace("psycopg", "asyncpg"))
    async with AsyncSession(engine) as session, session.begin():
        await Outbox(postgres.table, strict_order=True).within(session).disconnect_user(ORG, "u1")
    await engine.dispose()
    assert postgres.count() == 1


BAD_ROOMS = [{"to": "nowhere"}, {"to": organization(new_id())}]
BAD_DATA = [{"data": object()}, {"data": "x" * 100}]
BAD_OPTIONS = [{"ephemeral": True}, {"version": 3}]


@pytest.mark.parametrize("wrong", [*BAD_ROOMS, *BAD_DATA, *BAD_OPTIONS], ids=map(str, range(99)))
async def test_mistakes_raise_at_the_call_before_anything_is_awaited(sqlite: BackendDatabase, wrong: Any) -> None:
    outbox = Outbox(sqlite.table, options=Options(max_payload_bytes=100))
    arguments = {"to": organization(ORG), "data": {}} | wrong
    with pytest.raises(InvalidEvent):
        outbox.within(AsyncSession()).emit(ORG, "a:b", **arguments)  # type: ignore[unused-coroutine]


def test_the_table_is_part_of_the_callers_metadata() -> None:
    metadata = MetaData(schema="app")
    table = outbox_table(metadata)
    assert outbox_table(metadata) is table
    assert list(metadata.tables) == ["app.realtime_outbox"]


def test_an_id_is_never_given_again(sqlite: BackendDatabase) -> None:
    for _ in range(2):
        with sqlite.transaction() as events:
            events.disconnect_user(ORG, "u1")
        (row,) = sqlite.rows()
        with sqlite.engine.begin() as connection:
            connection.execute(sqlite.table.delete())
    assert row.id == 2


def test_a_database_of_another_kind_is_refused(sqlite: BackendDatabase) -> None:
    sqlite.engine.dialect.name = "mysql"
    with pytest.raises(ValueError, match="not on mysql"):
        OutboxRelay.from_url(sqlite.engine, "redis://127.0.0.1:1/0")


def test_the_base_install_does_not_touch_sqlalchemy() -> None:
    code = "import sys, publisher, gateway.cli; sys.exit('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=clean_environment(), check=False)
    assert done.returncode == 0
