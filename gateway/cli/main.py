"""The commands and their options. A mistake of the user's ends in one clear line and exit status 2."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import uuid
from typing import Any, NoReturn

import click

from gateway import installed_version, log, settings, tracing
from gateway.app.process import run
from gateway.auth.minting import mint
from gateway.cli import checks, dev, outbox, reach, tail, top
from gateway.console import attach_where_there_are_keys, demo_data
from gateway.contract import schemas
from gateway.dev.embedded_redis import EmbeddedError
from gateway.errors import StartError
from gateway.peers.workers import Worker, Workers, count
from publisher import InvalidEvent, Publisher, PublishError, Receipt, parse_room
from publisher.events import COMMANDS, EVENTS

EXPECTED = (settings.ConfigurationError, StartError, EmbeddedError, InvalidEvent, PublishError)


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        status = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except EXPECTED as error:
        click.echo(f"gateway: {error}", err=True)
        sys.exit(2)
    sys.exit(status if isinstance(status, int) else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(installed_version(), prog_name="gateway")
def cli() -> None:
    """The realtime gateway: Socket.IO for browsers, fed by the publisher through Redis.

    Try it with `gateway dev`. Everything else is configured by environment variables, listed in
    gateway/REFERENCE.md; `gateway check` tells what is wrong with them.
    """


@cli.command()
@click.option("--host", help="Address to listen on, instead of GATEWAY_HOST.")
@click.option("--port", type=int, help="Port to listen on, instead of GATEWAY_PORT.")
@click.option("--workers", help="Processes on the port, or auto, instead of GATEWAY_WORKERS.")
@click.option("--worker", type=int, hidden=True)
@click.option("--worker-folder", default="", hidden=True)
def serve(host: str | None, port: int | None, workers: str | None, worker: int | None, worker_folder: str) -> int:
    """Run one replica, until SIGTERM."""
    configuration = settings.load(**_given(host=host, port=port, workers=workers))
    processors = [tracing.trace_ids] if configuration.tracing == "on" else []
    log.configure(configuration.log_level, configuration.log_format, *processors)
    number = count(configuration)
    if worker is None and number > 1:
        return Workers(configuration, number).run()
    place = Worker(worker, worker_folder) if worker is not None else None
    if place is not None:
        place.take()
    run(configuration, worker=place, routes=attach_where_there_are_keys)
    return 0


@cli.command("dev")
@click.option(
    "--port", type=int, default=8080, envvar="GATEWAY_PORT", show_default=True, help="Port to listen on."
)
@click.option("--redis-url", help="Use this server instead of an embedded one.")
def dev_(port: int, redis_url: str | None) -> None:
    """Run a replica to try things with: embedded Redis, a secret made up, tokens ready to use.

    Bound to 127.0.0.1; any page may connect.
    """
    dev.run_dev(port, redis_url)


@cli.command()
@click.option("--user", "user_id", default=None, help="User id (`sub`); a random UUID by default.")
@click.option("--org", "organization_id", default=None, help="Organization (tenant); a random UUID by default.")
@click.option("--role", default="agent", show_default=True, help="Role.")
@click.option("--ttl", default=900, show_default=True, type=click.IntRange(1), help="Seconds until it expires.")
def token(user_id: str | None, organization_id: str | None, role: str, ttl: int) -> None:
    """Print an access token, signed with JWT_SECRET_KEY."""
    configuration = settings.load()
    configuration.check_secret()
    click.echo(
        mint(
            configuration, user_id or str(uuid.uuid4()), organization_id or str(uuid.uuid4()), role=role, ttl_s=ttl
        )
    )


@cli.command()
@click.option("--org", "organization_id", required=True, help="Organization (tenant) to publish for.")
@click.option("--to", "rooms", multiple=True, help="Room, e.g. conversation:<uuid>; may be given several times.")
@click.option("--event", default="message:new", show_default=True, help="Name of the event.")
@click.option("--conversation", "conversation_id", help="Short for --to conversation:<uuid>.")
@click.option("--text", help="Make up a message:new with this text, instead of DATA.")
@click.option("--key", help="Idempotency key: the same key is published once.")
@click.option("--redis-url", help="Publish to this server instead of REDIS_URL.")
@click.argument("data", required=False)
def publish(
    organization_id: str,
    rooms: tuple[str, ...],
    event: str,
    conversation_id: str | None,
    text: str | None,
    key: str | None,
    redis_url: str | None,
    data: str | None,
) -> None:
    """Publish one event with DATA, a JSON value, as a backend would."""
    if conversation_id:
        rooms = (*rooms, f"conversation:{conversation_id}")
    if not rooms:
        raise click.UsageError("say where to: --to ROOM or --conversation UUID")
    if data is None and text is None:
        raise click.UsageError("say what: DATA, a JSON value, or --text")
    if data is not None and text is not None:
        raise click.UsageError("either DATA or --text, not both")
    payload = _payload(data, text, rooms)
    # What the contract does not know goes out all the same, as a backend's would, with a line on stderr.
    logging.basicConfig(format="gateway: %(message)s", level=logging.WARNING)
    where = reach.target(redis_url)
    reach.check(where)
    with Publisher.from_url(where.url, strict=True, timeout_s=5.0, validate="warn", **where.options) as publisher:
        receipt: Receipt = publisher.emit(
            organization_id, event, payload, to=[parse_room(room) for room in rooms], key=key
        )
    click.echo(json.dumps(receipt._asdict()))


@cli.command("tail")
@click.option("--org", "organization_id", required=True, help="Organization (tenant) to listen to.")
@click.option("--room", help="Only this room, e.g. conversation:<uuid>.")
@click.option("--payload", is_flag=True, help="Show what the events carry, too.")
@click.option("--redis-url", help="Listen to this server instead of REDIS_URL.")
def tail_(organization_id: str, room: str | None, payload: bool, redis_url: str | None) -> None:
    """Print events as they are published, one line each, until Ctrl-C."""
    asyncio.run(tail.follow(reach.target(redis_url), organization_id, room, show_payload=payload))


@cli.command("top")
@click.option("--once", is_flag=True, help="Print what there is and end.")
@click.option("--redis-url", help="Look at this server instead of REDIS_URL.")
def top_(once: bool, redis_url: str | None) -> None:
    """Show the replicas and workers, and what they do, every few seconds until Ctrl-C."""
    asyncio.run(top.show(reach.target(redis_url), once=once))


@cli.command("schema")
@click.argument("event", type=click.Choice([*EVENTS, *COMMANDS]), metavar="EVENT")
def schema_(event: str) -> None:
    """Print what EVENT carries, such as message:new, as a JSON Schema."""
    click.echo(json.dumps(schemas.standalone(event), indent=2, ensure_ascii=False))


@cli.command()
def check() -> int:
    """Check the configuration and what it points to, one line a finding; status 2 when something is wrong."""
    findings = asyncio.run(checks.find())
    for finding in findings:
        click.echo(f"{finding.level:<5} {finding.text}")
    return 2 if any(finding.level == "error" for finding in findings) else 0


cli.add_command(outbox.relay)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _payload(data: str | None, text: str | None, rooms: tuple[str, ...]) -> Any:
    if text is not None:
        return demo_data.sample_message(rooms[0].partition(":")[2], text)
    try:
        return json.loads(data or "")
    except ValueError as error:
        raise click.UsageError(f"DATA is not JSON: {error}") from None
