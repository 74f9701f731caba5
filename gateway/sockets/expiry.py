"""The end of a token while its socket lives: the client is warned, may refresh, and is closed in the end.

The gateway closes the transport, and sends no DISCONNECT, which would stop the client for good. So the client
comes back by itself, with a fresh token if it has one, and recovers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.auth import Tokens
from gateway.core.frames import Frame
from gateway.core.model import Member
from gateway.engine.errors import CloseCode
from gateway.engine.timers import Call
from gateway.errors import Refused
from gateway.sockets import packets
from gateway.sockets.members import Members
from gateway.sockets.room_access import RoomAccess
from gateway.sockets.socketio_server import Peer, peer_of

# Seconds before the token's end at which the client is warned, and those before which it is warned last.
WARNING_S = 60.0
LAST_WARNING_S = 1.0

CallLater = Callable[[float, Callable[[], object]], Call]


class Expiry:
    """Watches the tokens of members, each with one timer on the engine's wheel."""

    def __init__(
        self,
        members: Members,
        tokens: Tokens,
        room_access: RoomAccess,
        call_later: CallLater,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._members = members
        self._tokens = tokens
        self._room_access = room_access
        self._call_later = call_later
        self._now = now

    def watch(self, member: Member) -> None:
        """Start to watch the token that a member connected with."""
        self._watch(member, member.identity.expires_at - self._now() - WARNING_S)

    def _watch_fresh(self, member: Member) -> None:
        """Watch a token that replaced another one.

        A client that answers each warning with a token must not be warned in a loop. So for a near end the warning
        comes when half of the time is over, and not again and again for what is left at last.
        """
        left_s = member.identity.expires_at - self._now()
        warn_in_s = max(left_s - WARNING_S, left_s / 2)
        self._watch(member, warn_in_s if warn_in_s >= LAST_WARNING_S else None)

    def _watch(self, member: Member, warn_in_s: float | None) -> None:
        peer = peer_of(member.socket)
        self.cancel(peer)
        if self._members.settings.token_expiry == "connect":  # noqa: S105  # not a password
            return
        if warn_in_s is None:
            self._await_end(member)
        else:
            peer.deadline = self._call_later(max(warn_in_s, 0.0), lambda: self._warn(member))

    def cancel(self, peer: Peer) -> None:
        """Cancel the timer for the end of a peer's token."""
        timer, peer.deadline = peer.deadline, None
        if timer is not None:
            timer.cancel()

    async def refresh(self, member: Member, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Take a fresh token of the same user. The socket stays, with the rooms that the new role allows.

        Raises `Refused`, or `Unavailable` while the keys can't be fetched.
        """
        identity = await self._tokens.identify(payload.get("token"))
        if (identity.user_id, identity.tenant) != (member.identity.user_id, member.identity.tenant):
            raise Refused("forbidden", "the new token must be of the same user and organization")
        # From here on, control messages that void the new token apply to this socket. Redis has earlier ones.
        before, member.identity = member.identity, identity
        try:
            revoked = await self._members.sessions.revoked(identity.tenant, identity.user_id)
            if revoked.blocks(identity):
                raise Refused("token_revoked")
        except BaseException:
            member.identity = before
            raise
        # If the socket ended while its token was checked, no timer may be set for it.
        if not member.socket.closed and peer_of(member.socket).member is member:
            self._watch_fresh(member)
        if identity.role != before.role:
            await self._room_access.review(member)
        return {"expires_at": _iso(identity.expires_at)}

    def _warn(self, member: Member) -> None:
        ends = {"expires_at": _iso(member.identity.expires_at)}
        # Not ahead of `connected`, for which a long replay makes the client wait.
        member.give(Frame(packets.event("auth:expiring", ends)))
        self._await_end(member)

    def _await_end(self, member: Member) -> None:
        # The leeway applies here, too: for that time a connect would accept the token.
        left_s = member.identity.expires_at + self._members.settings.jwt_leeway_s - self._now()
        peer = peer_of(member.socket)
        peer.deadline = self._call_later(max(left_s, 0.0), lambda: self._end(peer))

    def _end(self, peer: Peer) -> None:
        peer.deadline = None
        peer.socket.close("token expired", CloseCode.POLICY)


def _iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat()
