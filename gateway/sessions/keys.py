"""The keys of sessions in Redis. The scripts of this folder and of presence write them.

    rt:{t}:session:<pid>     hash    one session

Its fields: `u` user, `s` sid, `g` generation of the socket that has it, `at` seq at which it was opened, `t` seq
up to which its socket certainly got every event, `p` the stays in rooms that its socket has left, `l` why the
session before it was lost, `x` "1" if an event for its socket is lost, `e` "1" if its socket has to go, `w` ms
at which its recovery window ends, once its socket has ended, for each room `r:<room>`, the seq at which the
socket joined, and `k:<room>`, the seq at which a room was taken from it.
"""

from __future__ import annotations

from publisher import wire


def session_key(tenant: str, pid: str) -> str:
    """Return the name of the hash in which Redis keeps one session."""
    return f"{wire.prefix(tenant)}session:{pid}"
