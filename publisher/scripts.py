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


def command(envelope: Envelope, publishing: str | None = None) -> tuple[Any, ...]:
    """Give the arguments of `evalsha` for an envelope; `publishing` says how, if not as it was made."""
    keys, args = envelope.keys, _with(envelope, publishing)
    if envelope.also is not None:
        # Of one tenant, so the meta key is there already.
        keys, args = [*keys, *envelope.also.keys[1:]], [*args, *_with(envelope.also, publishing)]
    return (SCRIPTS[envelope.script].sha, len(keys), *keys, *args)


def _with(envelope: Envelope, publishing: str | None) -> list[Any]:
    at = 5 if envelope.script == "publish" else 1
    if publishing is None or envelope.args[at] == publishing:
        return envelope.args
    return [*envelope.args[:at], publishing, *envelope.args[at + 1 :]]
