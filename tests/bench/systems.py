"""What is measured: the gateway and its rivals, how a replica of each starts, how a backend publishes to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from tests.bench import node
from tests.support.tokens import SECRET

RIVALS = Path(__file__).parent / "rivals"
GATEWAY = "gateway"

Backend = Literal["gateway", "python-socketio", "socket.io-pubsub", "socket.io-streams"]


@dataclass(frozen=True)
class System:
    """One contestant. `publishes`: how its backend does, see `publish.py`; the port comes in `environment`."""

    name: str
    label: str
    command: tuple[str, ...]
    publishes: Backend
    extra: Mapping[str, str] = field(default_factory=dict)

    def environment(self, port: int, redis_url: str) -> dict[str, str]:
        """Return what a replica on `port` is started with; its defaults are left alone."""
        own = {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "GATEWAY_LOG_LEVEL": "warning"}
        needed = {"PORT": str(port), "REDIS_URL": redis_url, "JWT_SECRET_KEY": SECRET}
        return needed | (own if self.name == GATEWAY else {}) | dict(self.extra)


def of_python(settings: Mapping[str, str]) -> list[System]:
    """Return the gateway, with `settings` besides its defaults, and python-socketio."""
    rival = (sys.executable, str(RIVALS / "python_socketio.py"))
    return [
        System(GATEWAY, "this gateway", (sys.executable, "-m", "gateway", "serve"), "gateway", settings),
        System("python-socketio", "python-socketio", rival, "python-socketio"),
        System("python-socketio+uvloop", "python-socketio, uvloop", (*rival, "uvloop"), "python-socketio"),
    ]


def of_node(binary: Path) -> list[System]:
    """Return Node's socket.io, with those of its parts that are installed."""

    def rival(kind: str) -> tuple[str, ...]:
        return (str(binary), str(RIVALS / "node_socketio.cjs"), kind)

    found = [
        System("node", "Node socket.io, redis", rival("pubsub"), "socket.io-pubsub"),
        System("node-streams", "Node socket.io, redis-streams", rival("streams"), "socket.io-streams"),
    ]
    if node.loads(binary, "uwebsockets"):
        found.append(System("node+uws", "Node socket.io, uWebSockets.js", rival("uws"), "socket.io-pubsub"))
    return found


def versions(*, with_node: bool) -> dict[str, str]:
    """Return the versions of what is compared."""
    names = ("python-socketio", "aiohttp", "uvloop", "redis")
    known = {"python": sys.version.split()[0]} | {name: version(name) for name in names}
    if with_node:
        packages = json.loads((RIVALS / "package-lock.json").read_text())["packages"]
        names = ("socket.io", "@socket.io/redis-adapter", "@socket.io/redis-streams-adapter", "uwebsockets")
        known |= {name: packages[f"node_modules/{name}"]["version"] for name in names}
    return known
