"""Notices for people: what a replica did that `gateway tail` should show. Nobody else listens."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.redis.commands import Commands
from publisher import wire
from publisher.envelope import encode


def notice(commands: Commands, tenant: str, what: str, **facts: str | int) -> None:
    """Say what happened to a tenant's sockets; lost when Redis is away, like any pub/sub message."""
    unwatched(commands.ask(commands.publishing, wire.notices_channel(tenant), encode({"what": what, **facts})))


def unwatched(future: asyncio.Future[Any]) -> None:
    """Let a command go: its failure shows where it matters, in the connection's own state."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
