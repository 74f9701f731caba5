"""Keeping sessions alive while their sockets are: in slices, so that 10,000 cost Redis a trickle."""

from __future__ import annotations

import asyncio

from gateway.bus.link import LinkDown, ReplyError
from gateway.core.member import NEVER, Member
from gateway.sockets.house import House, holder, log

TICK_S = 1.0


class Leases:
    """Renews the sessions of this replica, each once in `Sessions.renew_every_s`."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="session leases")

    async def stop(self) -> None:
        """Stop renewing; what is left of each lease goes on counting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        ticks = max(1, round(self._house.sessions.renew_every_s / TICK_S))
        while True:
            # Those of a tenant one after the other, as they are renewed together.
            sids = [m.sid for m in sorted(self._house.members.values(), key=lambda m: m.tenant.id)]
            size = -(-len(sids) // ticks)
            for tick in range(ticks):
                await asyncio.sleep(TICK_S)
                try:
                    await self._renew(sids[tick * size : (tick + 1) * size])
                except (LinkDown, ReplyError) as error:
                    log.warning("lease_renewal_failed", reason=str(error))

    async def _renew(self, sids: list[str]) -> None:
        members = [member for sid in sids if (member := self._house.members.get(sid)) is not None]
        renewed = await self._house.sessions.renew((holder(m), since(m)) for m in members)
        for member, alive in zip(members, renewed, strict=True):
            if not alive and not member.socket.closed:
                await self._house.write_session(member)


def since(member: Member) -> int:
    """Give the seq since which a socket got everything, as far as its replica knows: in a resync it does not."""
    return member.since if member.tenant.backlog is None else NEVER
