"""Renewing the presence leases of this replica's members, so that they count as online."""

from __future__ import annotations

from gateway.core.model import Member, Tenant
from gateway.sockets.members import Members
from gateway.sockets.periodic import PeriodicWork


class PresenceLeases:
    """Renews the leases of this replica's members, once in `PresenceTimes.renew_every_s`."""

    def __init__(self, members: Members) -> None:
        self._members = members
        every_s = members.presence.times.renew_every_s
        self.periodic = PeriodicWork("presence", members.subscriptions.hub.tenants, self._renew, every_s)

    def start(self) -> None:
        """Begin to renew the presence leases of all members."""
        self.periodic.start()

    async def stop(self) -> None:
        """Stop renewing; each member counts as online until its lease ends."""
        await self.periodic.stop()

    async def _renew(self, tenant: Tenant, members: list[Member]) -> None:
        unknown = await self._members.sweeper.sweep(tenant.id, [(m.pid, m.identity.user_id) for m in members])
        if unknown:
            # Their leases had run out, so Redis counts them as gone.
            await self._members.write_again(tenant, [members[i] for i in unknown])
