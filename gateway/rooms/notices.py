"""Notices for people: actions of a replica that `gateway tail` shows. Nothing else listens to them."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.redis.commands import Commands
from publisher import wire
from publisher.envelope import encode


def notice(commands: Commands, tenant: str, what: str, **facts: str | int) -> None:
    """Publish a notice about a tenant's sockets; it is lost while Redis is down, like any pub/sub message."""
    unwatched(commands.ask(commands.publishing, wire.notices_channel(tenant), encode({"what": what, **facts})))


def unwatched(future: asyncio.Future[Any]) -> None:
    """Ignore the outcome of a command; a lost connection shows in its own state."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
