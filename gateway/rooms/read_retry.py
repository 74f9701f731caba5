"""Retry the reading of a tenant's logs if Redis refuses it; tell the tenant's members if that takes long.

An overwritten key concerns its own tenant only: the live messages of that tenant wait, and other tenants are not
affected. If the server refuses all tenants, this module has no part in it: the connection is rebuilt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway.core.limits import LIMITS, Limits
from gateway.core.model import Tenant
from gateway.redis.connection import RedisUnavailable, ReplyError
from publisher.sending import Backoff

# Error codes with which a server, or a cluster, refuses all tenants.
_OF_THE_SERVER = frozenset(
    (
        *("LOADING", "MASTERDOWN", "READONLY", "MISCONF", "NOREPLICAS", "OOM", "BUSY", "UNKILLABLE"),
        *("CLUSTERDOWN", "MOVED", "ASK", "TRYAGAIN", "NOAUTH", "NOPERM", "WRONGPASS", "NOSCRIPT"),
    )
)

_log = structlog.get_logger("gateway.rooms")


def is_tenants(error: RedisUnavailable | ReplyError) -> bool:
    """Return whether an error is about the keys of a tenant, and not about the server."""
    return isinstance(error, ReplyError) and str(error).partition(" ")[0] not in _OF_THE_SERVER


@dataclass(slots=True)
class Trouble:
    """The failed reads of one tenant, the first one at the loop time `since`."""

    since: float
    timer: asyncio.TimerHandle
    failures: int = 1
    is_told: bool = False


class ReadRetry:
    """The tenants whose logs can't be read.

    `again(tenant)` starts another attempt. `tell(tenant)` is called once, after failures for `reread_tell_s`.
    """

    def __init__(
        self, again: Callable[[Tenant], object], tell: Callable[[Tenant], object], limits: Limits = LIMITS
    ) -> None:
        self._again = again
        self._tell = tell
        self._troubles: dict[Tenant, Trouble] = {}
        self._backoff = Backoff(cap=limits.reread_most_s, base=limits.reread_first_s)
        self._tell_s = limits.reread_tell_s
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Cancel the planned attempts of all tenants."""
        for trouble in self._troubles.values():
            trouble.timer.cancel()
        self._troubles.clear()

    def __len__(self) -> int:
        return len(self._troubles)

    def __contains__(self, tenant: Tenant) -> bool:
        return tenant in self._troubles

    def note(self, tenant: Tenant, error: RedisUnavailable | ReplyError) -> None:
        """Note a failed attempt: the next one comes after a pause, which doubles each time."""
        now = self._loop.time()
        trouble = self._troubles.get(tenant)
        if trouble is None:
            _log.warning("tenant_unreadable", tenant=tenant.id, reason=str(error)[:200])
            self._troubles[tenant] = Trouble(now, self._later(tenant, 1))
            return
        trouble.failures += 1
        trouble.timer.cancel()
        trouble.timer = self._later(tenant, trouble.failures)
        if not trouble.is_told and now - trouble.since >= self._tell_s:
            trouble.is_told = True
            self._tell(tenant)

    def over(self, tenant: Tenant) -> None:
        """Cancel a tenant's planned attempt, because its logs were read."""
        trouble = self._troubles.pop(tenant, None)
        if trouble is not None:
            trouble.timer.cancel()

    def _later(self, tenant: Tenant, failures: int) -> asyncio.TimerHandle:
        return self._loop.call_later(self._backoff.compute(failures), self._again, tenant)
