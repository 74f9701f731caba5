"""The keys of presence in Redis. The scripts of this folder write them; the names are here.

    rt:{t}:leases            zset    "<pid> <user>" -> ms at which the socket counts as gone
    rt:{t}:sockets:<user>    zset    pid -> us at which the socket came; -1: it has gone and may still come back
    rt:{t}:online            zset    users who are online -> us at which each came
    rt:{t}:changes           zset    user -> seq of the user's last change, for sockets that were away then
    rt:{t}:pending           zset    users whose change is not published yet -> us of the change
    rt:{t}:rate              string  number of changes within the present pause
    rt:{t}:told              string  exists while the pending changes have to wait
    rt:{t}:viewers:<room>    zset    "<pid> <user>" of sockets in a conversation -> us at which each joined
    rt:{t}:told:<room>       string  exists for a pause after a conversation's viewers were published
    rt:{t}:typing:<room>     zset    "<pid> <user> <skip_sid>" -> ms at which the typing ends by itself
    rt:{t}:typed:<room>      zset    user -> seq at which the user's typing ended last
    rt:{t}:due               zset    tasks of sweeps, a room or "typing <room>" -> ms at which they are due

In `rt:{t}:meta`, which `publisher.wire` lists, presence has two fields: `beat` is the time of the last sweep, and
before the time `spare` no lease runs out; both are in ms.
"""

from __future__ import annotations

from publisher import wire


def online_key(tenant: str) -> str:
    """Name the sorted set of the users who are online."""
    return f"{wire.prefix(tenant)}online"
