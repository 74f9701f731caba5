"""The Lua scripts, and how envelopes become a command."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from publisher import wire
from publisher.envelope import Envelope


class Script:
    """One script: its source, and the SHA-1 that EVALSHA knows it by."""

    def __init__(self, name: str) -> None:
        self.source = files("publisher").joinpath(f"{name}.lua").read_text("utf-8")
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


SCRIPTS = {"publish": Script("publish"), "control": Script("control")}


def command(
    *envelopes: Envelope,
    publishing: str | None = None,
    lane: str = "",
    lane_ms: int = 0,
    numbers: Sequence[int] = (),
) -> tuple[Any, ...]:
    """Return the arguments of `evalsha` for envelopes of one tenant and script; of `control` it is one.

    `publishing` is the command that publishes, if not as the envelopes were made. With `lane`, a queue in which
    they have these numbers, the script takes none that it took before; it knows for `lane_ms`.
    """
    first = envelopes[0]
    if first.script == "control":
        args = first.args if publishing is None else [first.args[0], publishing, *first.args[2:]]
        return (SCRIPTS[first.script].sha, len(first.keys), *first.keys, *args)
    keys = first.keys[:1]
    if lane:
        keys = [*keys, wire.lane_key(first.tenant, lane)]
    args = [lane_ms if lane else "", publishing or first.head[0], *first.head[1:]]
    for i, envelope in enumerate(envelopes):
        each: Envelope | None = envelope
        while each is not None:
            # Of one tenant, so the meta key is there already.
            keys += each.keys[1:]
            args += each.args
            args.append(numbers[i] if lane else "")
            each = each.also
    return (SCRIPTS[first.script].sha, len(keys), *keys, *args)
