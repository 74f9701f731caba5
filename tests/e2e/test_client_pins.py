"""The clients under test are pinned, and their lock file works with any registry."""

from __future__ import annotations

import json

from tests.support import node
from tests.support.browsers import VERSIONS

LOCK = json.loads((node.JS / "package-lock.json").read_text())["packages"]


def test_the_lock_names_no_registry_and_checks_every_package() -> None:
    packages = {name: facts for name, facts in LOCK.items() if name}
    assert packages
    assert not [name for name, facts in packages.items() if "resolved" in facts]
    assert not [name for name, facts in packages.items() if not facts.get("integrity")]


def test_the_versions_under_test_are_what_their_names_say() -> None:
    wanted = json.loads((node.JS / "package.json").read_text())["dependencies"]
    pinned = {version: LOCK[f"node_modules/socket.io-client-{version}"]["version"] for version in VERSIONS}
    assert {f"socket.io-client-{name}": f"npm:socket.io-client@{at}" for name, at in pinned.items()} == wanted
    assert pinned["4.0"].startswith("4.0.")
    assert pinned["4.5"].startswith("4.5.")
    assert pinned["newest"] == max(pinned.values(), key=lambda version: tuple(map(int, version.split("."))))
