"""Writing sessions again after Redis has lost writes that it had confirmed.

A failover to a replica that was behind loses the last writes, and so does a restart without the end of the log. If
a join or a leave is among them, the session is not what its socket is here, and a later recovery would begin with
the wrong rooms. Such a loss always breaks the connections, and the resync after a break compares all sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from gateway.core.model import Member, Tenant
from gateway.errors import Unavailable
from gateway.redis.commands import Commands
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.rooms.read_retry import is_tenants
from gateway.sessions.store import SessionStatus
from gateway.sockets.members import Members, log
from gateway.tasks import cancelled

# Seconds to wait for a connection to Redis before another attempt.
PATIENCE_S = 60.0


async def insist(commands: Commands, write: Callable[[], Awaitable[object]]) -> None:
    """Write sessions as soon as Redis accepts writes; give up if it refuses because of the tenant's own keys."""
    while True:
        try:
            await write()
        except (RedisUnavailable, ReplyError, Unavailable) as error:
            if not isinstance(error, Unavailable) and is_tenants(error):
                return
        else:
            return
        with contextlib.suppress(RedisUnavailable):
            await commands.wait_up(PATIENCE_S)
        await asyncio.sleep(commands.limits.write_retry_s)  # one shard of several may be away


def is_as_here(status: SessionStatus, member: Member) -> bool:
    """Return whether a session has the generation and the rooms of its socket."""
    return status.generation == member.generation and status.rooms == {room.name for room in member.rooms}


class SessionRepair:
    """Writes sessions of this replica again, as soon as their tenant is live and Redis accepts writes."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._due: dict[Tenant, set[Member]] = {}
        self._under_way: dict[Tenant, asyncio.Task[None]] = {}

    async def stop(self) -> None:
        """Cancel the repairs under way."""
        await cancelled(*self._under_way.values())

    def write_again(self, tenant: Tenant, members: Iterable[Member]) -> None:
        """Write the sessions of these members of a tenant again, later."""
        due = self._due.setdefault(tenant, set())
        due.update(members)
        if due and tenant not in self._under_way:
            self._under_way[tenant] = asyncio.create_task(self._write(tenant))

    async def _write(self, tenant: Tenant) -> None:
        due = self._due[tenant]
        try:
            while due:
                members = list(due)
                due.clear()
                write_again = partial(self._members.write_again, tenant, members)
                await insist(self._members.commands, write_again)
                log.info("sessions_repaired", tenant=tenant.id, sockets=len(members))
        finally:
            del self._under_way[tenant], self._due[tenant]
