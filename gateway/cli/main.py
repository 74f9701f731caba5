"""The commands and their options. A mistake of the user is reported in one line, with exit status 2."""

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
    """Run the realtime gateway and its tools.

    Browsers connect to the gateway by Socket.IO; backends publish events to it through Redis. For a first try,
    run `gateway dev`. The other commands are configured by environment variables: gateway/REFERENCE.md lists
    them, and `gateway check` finds mistakes in them.
    """


@cli.command()
@click.option("--host", help="Address to listen on, instead of GATEWAY_HOST.")
@click.option("--port", type=int, help="Port to listen on, instead of GATEWAY_PORT.")
@click.option("--workers", help="Number of processes, or auto, instead of GATEWAY_WORKERS.")
@click.option("--worker", type=int, hidden=True)
@click.option("--worker-folder", default="", hidden=True)
def serve(host: str | None, port: int | None, workers: str | None, worker: int | None, worker_folder: str) -> int:
    """Run one replica until SIGTERM."""
    configuration = settings.load(**_given(host=host, port=port, workers=workers))
    processors = [tracing.trace_ids] if configuration.tracing == "on" else []
    log.configure(configuration.log_level, configuration.log_format, *processors)
    number = count(configuration)
    if worker is None and number > 1:
        return Workers(configuration, number).run()
    place = Worker(worker, worker_folder) if worker is not None else None
    if place is not None:
        place.prepare()
    run(configuration, worker=place, routes=attach_where_there_are_keys)
    return 0


@cli.command("dev")
@click.option(
    "--port", type=int, default=8080, envvar="GATEWAY_PORT", show_default=True, help="Port to listen on."
)
@click.option("--redis-url", help="URL of a Redis to use instead of the embedded one.")
def dev_(port: int, redis_url: str | None) -> None:
    """Run a replica for development, with Redis, tokens and the console.

    The command starts an embedded Redis, generates a secret and prints tokens that are ready to use. The replica
    listens on 127.0.0.1 only, and pages of any origin may connect.
    """
    dev.run_dev(port, redis_url)


@cli.command()
@click.option("--user", "user_id", default=None, help="Id of the user (`sub`); a random UUID by default.")
@click.option(
    "--org", "organization_id", default=None, help="Id of the organization (tenant); a random UUID by default."
)
@click.option("--role", default="agent", show_default=True, help="Role of the user.")
@click.option(
    "--ttl", default=900, show_default=True, type=click.IntRange(1), help="Seconds until the token expires."
)
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
@click.option("--org", "organization_id", required=True, help="Id of the organization (tenant).")
@click.option(
    "--to", "rooms", multiple=True, help="Room, e.g. conversation:<uuid>; repeat the option for more rooms."
)
@click.option("--event", default="message:new", show_default=True, help="Name of the event.")
@click.option(
    "--conversation", "conversation_id", help="UUID of a conversation; short for --to conversation:<uuid>."
)
@click.option("--text", help="Text of an example message, published in place of DATA.")
@click.option(
    "--key", help="Idempotency key: an event whose key was used in the last ten minutes is not published."
)
@click.option("--redis-url", help="URL of the Redis to publish to, instead of REDIS_URL.")
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
    """Publish one event, as a backend does.

    DATA is the payload of the event, a JSON value.
    """
    if conversation_id:
        rooms = (*rooms, f"conversation:{conversation_id}")
    if not rooms:
        raise click.UsageError("the room is missing: add --to ROOM or --conversation UUID")
    if data is None and text is None:
        raise click.UsageError("the payload is missing: add DATA, a JSON value, or --text TEXT")
    if data is not None and text is not None:
        raise click.UsageError("there are two payloads: give DATA or --text, not both")
    payload = _payload(data, text, rooms)
    # An event that violates the contract is published, as for a backend, with a warning on stderr.
    logging.basicConfig(format="gateway: %(message)s", level=logging.WARNING)
    where = reach.target(redis_url)
    reach.check(where)
    with Publisher.from_url(where.url, strict=True, timeout_s=5.0, validate="warn", **where.options) as publisher:
        receipt: Receipt = publisher.emit(
            organization_id, event, payload, to=[parse_room(room) for room in rooms], key=key
        )
    click.echo(json.dumps(receipt._asdict()))


@cli.command("tail")
@click.option("--org", "organization_id", required=True, help="Id of the organization (tenant) to listen to.")
@click.option("--room", help="Room to listen to, e.g. conversation:<uuid>; all rooms by default.")
@click.option("--payload", is_flag=True, help="Print the payloads of the events, too.")
@click.option("--redis-url", help="URL of the Redis to listen to, instead of REDIS_URL.")
def tail_(organization_id: str, room: str | None, payload: bool, redis_url: str | None) -> None:
    """Print events as they are published, one line each, until Ctrl-C."""
    asyncio.run(tail.follow(reach.target(redis_url), organization_id, room, show_payload=payload))


@cli.command("top")
@click.option("--once", is_flag=True, help="Print the table once and exit.")
@click.option("--redis-url", help="URL of the Redis to read from, instead of REDIS_URL.")
def top_(once: bool, redis_url: str | None) -> None:
    """Show a table of all replicas and workers until Ctrl-C.

    The table shows sockets, rates and lag of each process, and is refreshed every few seconds.
    """
    asyncio.run(top.show(reach.target(redis_url), once=once))


@cli.command("schema")
@click.argument("event", type=click.Choice([*EVENTS, *COMMANDS]), metavar="EVENT")
def schema_(event: str) -> None:
    """Print the payload of EVENT, e.g. message:new, as a JSON Schema."""
    click.echo(json.dumps(schemas.standalone(event), indent=2, ensure_ascii=False))


@cli.command()
def check() -> int:
    """Check the configuration and the services that it names.

    Prints one line for each finding; exits with status 2 if one of them is an error.
    """
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
