"""The Lua scripts, and the commands that call them with envelopes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from publisher import wire
from publisher.envelope import Envelope


def _read(name: str) -> str:
    return files("publisher").joinpath(f"{name}.lua").read_text("utf-8")


FUNCTIONS = _read("wire")
"""Lua functions at the beginning of every script, also of the gateway's scripts."""


class Script:
    """One Lua script: its source, and its SHA-1 for EVALSHA."""

    def __init__(self, name: str) -> None:
        self.source = FUNCTIONS + _read(name)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


SCRIPTS = {"publish": Script("publish"), "control": Script("control")}


def command(
    *envelopes: Envelope,
    publishing: str | None = None,
    lane: str = "",
    lane_ms: int = 0,
    numbers: Sequence[int] = (),
) -> tuple[Any, ...]:
    """Return the arguments of `evalsha` for envelopes of one tenant and script; `control` takes only one.

    `publishing` replaces the envelopes' own PUBLISH or SPUBLISH. With `lane`, the script skips each envelope whose
    number in that lane it took before; it remembers the last number for `lane_ms`.
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
            # All envelopes have one tenant, so its meta key is in `keys` already.
            keys += each.keys[1:]
            args += each.args
            args.append(numbers[i] if lane else "")
            each = each.also
    return (SCRIPTS[first.script].sha, len(keys), *keys, *args)
