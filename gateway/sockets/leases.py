"""Keeping sessions alive while their sockets are."""

from __future__ import annotations

from gateway.core.member import NEVER, Member
from gateway.core.rooms import Tenant
from gateway.sockets.house import House, holder
from gateway.sockets.rounds import Rounds


class Leases:
    """Renews the sessions of this replica, each once in `Sessions.renew_every_s`."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.rounds = Rounds("session leases", house.relay.hub.tenants, self._renew, house.sessions.renew_every_s)

    def start(self) -> None:
        """Begin."""
        self.rounds.start()

    async def stop(self) -> None:
        """Stop renewing; what is left of each lease goes on counting."""
        await self.rounds.stop()

    async def _renew(self, tenant: Tenant, members: list[Member]) -> None:
        renewed = await self._house.sessions.renew(tenant.id, ((holder(m), since(m)) for m in members))
        for member, alive in zip(members, renewed, strict=True):
            if not alive and not member.socket.closed:
                await self._house.write_session(member)


def since(member: Member) -> int:
    """Give the seq since which a socket got everything, as far as its replica knows: in a resync it does not."""
    return member.since if member.tenant.backlog is None else NEVER
