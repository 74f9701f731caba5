"""Builds the parts of a replica from its settings; only here, parts are passed to each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gateway.access import EVERYONE, Access
from gateway.auth import Tokens
from gateway.core.clock import ServerClock
from gateway.core.conflation import Pacer
from gateway.core.hub import Hub
from gateway.engine import EngineOptions
from gateway.limits.connects import Connects
from gateway.presence import split_statuses
from gateway.presence.store import PresenceStore, presence_times
from gateway.presence.sweeper import Sweeper
from gateway.redis.commands import Commands
from gateway.rooms.logs import History, retention_of
from gateway.rooms.subscriptions import RoomSubscriptions
from gateway.sessions.store import Sessions
from gateway.settings import Settings
from gateway.sockets.members import Members
from gateway.sockets.server import GatewayServer
from gateway.tracing import Tracing

# Sessions are renewed twice in a recovery window, but at least this far apart.
LEAST_RENEWAL_S = 5.0

CallLater = Callable[[float, Callable[[], object]], object]


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a replica, not started yet."""

    subscriptions: RoomSubscriptions
    members: Members
    server: GatewayServer


def assemble(
    settings: Settings,
    commands: Commands,
    tokens: Tokens,
    options: EngineOptions,
    *,
    access: Access = EVERYONE,
    connects: Connects | None = None,
    tracing: Tracing | None = None,
) -> Parts:
    """Return the parts, built around a connection to Redis; its `limits` apply to all of them."""
    retention, times = retention_of(settings), presence_times(settings)
    history = History(commands, retention)
    presence = PresenceStore(commands, times)
    sweeper = Sweeper(presence)
    sessions = Sessions(
        commands,
        window_s=settings.recovery_window_s,
        renew_every_s=max(settings.recovery_window_s / 2, LEAST_RENEWAL_S),
        unnoticed_s=settings.unnoticed_s,
        kept=retention,
        presence=times,
        most_sockets=settings.max_sockets_per_user,
        due=sweeper.soon,
    )
    clock = ServerClock(time.monotonic)
    call_later = asyncio.get_running_loop().call_later
    hub = partial(
        tracing.hub if tracing else Hub,
        max_event_bytes=retention.max_event_bytes,
        pacer=Pacer(settings.conflate_per_s, call_later) if settings.conflate_per_s else None,
        split=split_statuses.split,
        clock=clock,
        limits=commands.limits,
    )
    subscriptions = RoomSubscriptions(commands, history, clock=clock, linger_s=settings.room_linger_s, hub=hub)
    members = Members(settings, commands, subscriptions, history, sessions, presence, sweeper, access)
    server = GatewayServer(members, tokens, options, connects)
    subscriptions.listen_with(server.control)
    return Parts(subscriptions, members, server)
