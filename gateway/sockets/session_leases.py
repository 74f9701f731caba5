"""Renewing the sessions of connected sockets."""

from __future__ import annotations

from gateway.core.model import LATER, NEVER, RENEWING, Member, Tenant
from gateway.sockets.members import Members, evict, session_ref
from gateway.sockets.periodic import PeriodicWork


class SessionLeases:
    """Renews the sessions of this replica, each once in `Sessions.renew_every_s`."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self.periodic = PeriodicWork(
            "session leases", members.subscriptions.hub.tenants, self._renew, members.sessions.renew_every_s
        )

    def start(self) -> None:
        """Begin to renew the session leases of all members."""
        self.periodic.start()

    async def stop(self) -> None:
        """Stop renewing; each session lives until its lease ends."""
        await self.periodic.stop()

    async def _renew(self, tenant: Tenant, members: list[Member]) -> None:
        for member in members:
            if member.since == LATER:
                member.since = RENEWING
        renewing = self._members.sessions.renew(tenant.id, ((session_ref(m), since(m)) for m in members))
        now, generations = await renewing
        gone = []
        for member, generation in zip(members, generations, strict=True):
            if generation > member.generation:
                evict(self._members, member)
            elif generation == 0:
                gone.append(member)
            elif member.since == RENEWING:
                member.since = now
        if gone:
            await self._members.write_again(tenant, gone)


def since(member: Member) -> int:
    """Return the seq since which a socket got every event at once; `NEVER` in a resync or while it is held."""
    return NEVER if member.tenant.backlog is not None or member.holds else member.since
