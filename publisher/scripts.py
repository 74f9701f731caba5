"""The Lua scripts, and how an envelope becomes a command."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

from publisher.envelope import Envelope


class Script:
    """One script: its source, and the SHA-1 that EVALSHA knows it by."""

    def __init__(self, name: str) -> None:
        self.source = files("publisher").joinpath(f"{name}.lua").read_text("utf-8")
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


SCRIPTS = {"publish": Script("publish"), "control": Script("control")}


def command(envelope: Envelope) -> tuple[Any, ...]:
    """Give the arguments of `evalsha` for an envelope."""
    keys, args = envelope.keys, envelope.args
    if envelope.also is not None:
        # Of one tenant, so the meta key is there already.
        keys, args = [*keys, *envelope.also.keys[1:]], [*args, *envelope.also.args]
    return (SCRIPTS[envelope.script].sha, len(keys), *keys, *args)
