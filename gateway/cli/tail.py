"""`gateway tail`: what is being published, as it goes by."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import redis.asyncio

from gateway.cli.reach import Target, reaching
from gateway.core.replay import split_body
from publisher import parse_room, wire
from publisher.offsets import SEQ_PER_S
from publisher.rooms import uuid_text

_KINDS = {wire.Flag.RECOVERABLE: "event", wire.Flag.EPHEMERAL: "ephemeral", wire.Flag.CONTROL: "control"}


async def follow(where: Target, organization_id: str, room: str | None, *, show_payload: bool) -> None:
    """Print a line for every message of a tenant, or of one of its rooms, until cancelled."""
    tenant = uuid_text(organization_id, "organization")
    channel = None if room is None else wire.channel(tenant, parse_room(room))
    with reaching(where.url):
        client = redis.asyncio.Redis.from_url(where.url, socket_timeout=None, **where.options)
        async with client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
            if channel is None:
                await pubsub.psubscribe(f"rt:{{{tenant}}}:room:*")
                await pubsub.subscribe(wire.notices_channel(tenant))
            else:
                await pubsub.subscribe(channel)
            async for message in pubsub.listen():
                click.echo(line(message["channel"], message["data"], show_payload=show_payload))


def line(channel: bytes, raw: bytes, *, show_payload: bool) -> str:
    """Give one message as a line: time, room, kind, event, size, offset."""
    room = channel.decode().partition("}:room:")[2]
    if not room:
        return f"{datetime.now(UTC):%H:%M:%S.%f}"[:-3] + f"  gateway  {raw.decode(errors='replace')}"
    try:
        message = wire.parse_message(raw)
    except ValueError:
        return f"?  {room}  malformed message of {len(raw)} bytes"
    name, data = split_body(message.body) if message.flag != wire.Flag.CONTROL else ("control", message.body)
    at = datetime.fromtimestamp(message.seq / SEQ_PER_S, UTC).strftime("%H:%M:%S.%f")[:-3]
    kind = _KINDS.get(message.flag, "unknown")
    text = f"{at}  {room}  {kind}  {name}  {len(message.body)} B  {message.offset.decode()}"
    return f"{text}  {data.decode()}" if show_payload else text
