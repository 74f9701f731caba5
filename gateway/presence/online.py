"""The users who are online, with a socket on any replica, as `online.lua` keeps them."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import Refused
from gateway.presence.keys import online_key
from gateway.redis.commands import Commands

# Most users in one answer: more than an organization has at work, and few enough to send.
MOST_USERS = 10_000


async def online(commands: Commands, tenant: str, user_ids: Sequence[str] | None = None) -> list[str]:
    """Return the ids of a tenant's users who are online, sorted; `user_ids` asks for some, None for all.

    Raises `Refused` if there are too many, `RedisUnavailable` or `ReplyError`.
    """
    if user_ids is not None:
        if not user_ids:
            return []
        since = await commands.ask("ZMSCORE", online_key(tenant), *user_ids)
        return sorted({user for user, came in zip(user_ids, since, strict=True) if came is not None})
    found = await commands.ask("ZRANGE", online_key(tenant), 0, MOST_USERS)
    if len(found) > MOST_USERS:
        raise Refused("bad_request", f"more than {MOST_USERS} users are online: name some of them in user_ids")
    return sorted(name.decode() for name in found)
