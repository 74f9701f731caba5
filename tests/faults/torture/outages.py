"""When Redis took nothing from a replica for so long that sessions may have run out in it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

AWAKE_S = 3.0
"""In this time a replica that reaches Redis again has renewed, or written again, all of its sessions."""

Span = tuple[float, float]


def forgetful(outages: Iterable[Span], least_s: float) -> list[Span]:
    """Return the times in which sessions may be gone from Redis, each up to when all are written again.

    A session lives for `least_s` at least. Outages with less than `AWAKE_S` between them are one.
    """
    merged: list[Span] = []
    for start, end in sorted(outages):
        if merged and start - merged[-1][1] < AWAKE_S:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return [(start + least_s, end + AWAKE_S) for start, end in merged if end - start >= least_s]
