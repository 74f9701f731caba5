"""`gateway relay`: publishes the events in a database's outbox."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from redis.exceptions import RedisError

from gateway import log
from gateway.cli import reach
from gateway.errors import StartError, one_line, redis_trouble, shown_url

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from publisher.outbox import OutboxRelay, Relaying

_log = logging.getLogger("publisher.outbox")


@click.command()
@click.option(
    "--database-url",
    required=True,
    envvar="DATABASE_URL",
    help="URL of the database in SQLAlchemy's form, instead of DATABASE_URL.",
)
@click.option("--redis-url", help="URL of the Redis to publish to, instead of REDIS_URL.")
@click.option("--table", "name", default="realtime_outbox", show_default=True, help="Name of the outbox table.")
@click.option("--schema", help="Schema of the table, if it is not the default one.")
@click.option(
    "--poll-interval",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0.001),
    help="Seconds to wait after a read of the table that found no rows.",
)
@click.option(
    "--wait-replicas",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Number of Redis replicas that must have an event before its row is deleted.",
)
def relay(
    database_url: str,
    redis_url: str | None,
    name: str,
    schema: str | None,
    poll_interval: float,
    wait_replicas: int,
) -> None:
    """Publish the rows of a database's outbox, in order, until SIGTERM.

    Several relays may run at once, also on different machines. The command needs the extra `outbox` and the
    database's driver. See publisher/outbox/README.md.
    """
    configuration = reach.load(redis_url)
    log.configure(configuration.log_level, configuration.log_format)
    _log.setLevel(configuration.log_level.upper())
    try:
        from publisher.outbox import Relaying, outbox_table
    except ImportError:
        raise StartError("SQLAlchemy is missing: pip install 'pytake-realtime[gateway,outbox]'") from None
    table = outbox_table(name=name, schema=schema)
    relaying = Relaying(poll_interval_s=poll_interval, wait_replicas=wait_replicas)
    where = reach.Target(configuration.redis_url.get_secret_value(), configuration.redis_options())
    asyncio.run(serve(database_url, where, table, relaying))


async def serve(database_url: str, where: reach.Target, table: Any, relaying: Relaying) -> None:
    """Publish the rows of an outbox table to Redis until SIGTERM or SIGINT.

    Raises `StartError` if the database or Redis can't be reached at the start.
    """
    from publisher.outbox import OutboxRelay

    engine = _engine(database_url)
    try:
        relay = OutboxRelay.from_url(engine, where.url, table=table, relaying=relaying, **where.options)
    except ValueError as error:
        raise StartError(one_line(error)) from None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, relay.stop)
    # `systemctl reload` sends SIGHUP, which would end the process.
    loop.add_signal_handler(signal.SIGHUP, _log.info, "nothing_to_reload")
    try:
        database = engine.url.render_as_string(hide_password=True)
        await _check(relay, database, shown_url(where.url))
        _log.info("relaying %s of %s to %s", table.fullname, database, shown_url(where.url))
        await relay.run()
        _log.info("relay stopped: %s", asdict(relay.counters))
    finally:
        await relay.aclose()
        disposed = engine.dispose()
        if disposed is not None:
            await disposed


async def _check(relay: OutboxRelay, database: str, redis: str) -> None:
    from publisher.outbox.database import reason

    try:
        await relay.check()
    except RedisError as error:
        raise StartError(redis_trouble(redis, error)) from None
    except LookupError as error:
        raise StartError(f"{one_line(error)}: create it with `metadata.create_all` or a migration") from None
    except Exception as error:  # noqa: BLE001  # drivers raise errors of any type
        raise StartError(f"the database can't be reached at {database}: {reason(error)}") from None


def _engine(database_url: str) -> Engine | AsyncEngine:
    from sqlalchemy.exc import ArgumentError

    from publisher.outbox.database import new_engine

    try:
        return new_engine(database_url)
    except ArgumentError as error:
        raise StartError(f"the database URL is not valid: {one_line(error)}") from None
    except ModuleNotFoundError as error:
        raise StartError(f"the database's driver is missing: {one_line(error)}") from None
