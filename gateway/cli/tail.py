"""`gateway tail`: prints events as they are published."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
import redis.asyncio

from gateway.cli.reach import Target, reaching, say
from gateway.log import spelt
from gateway.redis.cluster.commands import ClusterSource
from gateway.rooms.message_view import CONTROL, overhear
from publisher import parse_room, wire
from publisher.address import Address, parse_address
from publisher.offsets import SEQ_PER_S
from publisher.rooms import Room, uuid_text
from publisher.topology import slot_of

# Interval of the search for rooms with new listeners.
LOOK_S = 1.0
EVERY_ROOM = Room("*")


async def follow(where: Target, organization_id: str, room: str | None, *, show_payload: bool) -> None:
    """Print a line for every message of a tenant, or of one of its rooms, until cancelled."""
    tenant = uuid_text(organization_id, "organization")
    channel = None if room is None else wire.channel(tenant, parse_room(room))
    with reaching(where.url):
        address = parse_address(where.url)
        client = await _client(where, address, tenant)
        # A cluster's node sends "sunsubscribe" when the slot has moved to another node.
        is_sharded = address.kind == "cluster"
        async with client, client.pubsub(ignore_subscribe_messages=not is_sharded) as pubsub:
            if sys.stderr.isatty():
                click.echo(f"listening to {room or f'all rooms of {tenant}'}; Ctrl-C ends it", err=True)
            if is_sharded:
                heard = _listen_to_shard(client, pubsub, tenant, channel)
            else:
                heard = _listen(pubsub, tenant, channel)
            async for message in heard:
                text = line(message["channel"], message["data"], show_payload=show_payload)
                say(spelt(text) if sys.stdout.isatty() else text)


async def _client(where: Target, address: Address, tenant: str) -> Any:
    """Return a client of the server that has the tenant's slot."""
    if address.kind != "cluster":
        return where.client(redis.asyncio, socket_timeout=None)
    cluster = ClusterSource(address, name="gateway-tail", **where.options)
    await cluster.look_again()
    owner = cluster.topology.owner(slot_of(wire.meta_key(tenant)))
    if owner is None:
        raise ValueError("no node of the cluster has this organization's slot")
    return redis.asyncio.Redis.from_url(address.at(owner), socket_timeout=None, **where.options)


async def _listen(pubsub: Any, tenant: str, channel: str | None) -> AsyncIterator[dict[str, Any]]:
    if channel is None:
        await pubsub.psubscribe(wire.channel(tenant, EVERY_ROOM))
        await pubsub.subscribe(wire.notices_channel(tenant))
    else:
        await pubsub.subscribe(channel)
    async for message in pubsub.listen():
        yield message


async def _listen_to_shard(
    client: Any, pubsub: Any, tenant: str, channel: str | None
) -> AsyncIterator[dict[str, Any]]:
    """Yield messages of sharded pub/sub, which has no patterns: without `channel`, of all rooms with listeners."""
    known = {channel or wire.notices_channel(tenant)}
    await pubsub.ssubscribe(*known)
    looked_at = 0.0
    while True:
        if channel is None and time.monotonic() - looked_at >= LOOK_S:
            found = await client.execute_command("PUBSUB", "SHARDCHANNELS", wire.channel(tenant, EVERY_ROOM))
            if fresh := {name.decode() for name in found} - known:
                known |= fresh
                await pubsub.ssubscribe(*fresh)
            looked_at = time.monotonic()
        message = await pubsub.get_message(timeout=LOOK_S)
        if message is not None and message["type"] == "smessage":
            yield message
        elif message is not None and message["type"] == "sunsubscribe":
            raise ConnectionError("the organization's slot has moved to another node: start the command again")


def line(channel: bytes, raw: bytes, *, show_payload: bool) -> str:
    """Return one message as a line: time, room, kind, event, size, offset."""
    room = channel.decode().partition("}:room:")[2]
    if not room:
        return f"{datetime.now(UTC):%H:%M:%S.%f}"[:-3] + f"  gateway  {raw.decode(errors='replace')}"
    try:
        heard = overhear(raw)
    except ValueError:
        return f"?  {room}  malformed message of {len(raw)} bytes"
    at = datetime.fromtimestamp(heard.seq / SEQ_PER_S, UTC).strftime("%H:%M:%S.%f")[:-3]
    name = _command(heard.data) if heard.kind == CONTROL else heard.event
    text = f"{at}  {room:<49}  {heard.kind:<9}  {name:<26}  {heard.size:>6} B  {heard.offset}"
    return f"{text}  {heard.data.decode(errors='replace')}" if show_payload else text


def _command(body: bytes) -> str:
    """Return the name of the command in a control message's body."""
    try:
        return str(msgspec.json.decode(body)["do"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return CONTROL
