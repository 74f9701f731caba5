"""Keeps a wheel from being made without the console: hatchling asks this before it makes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INDEX = Path("gateway", "console", "dist", "index.html")


class ConsoleHook(BuildHookInterface[Any]):
    """Looks for the built page. An editable install works without, and says so on the page."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise for a wheel that would lack it."""
        if version != "editable" and not (Path(self.root) / INDEX).is_file():
            raise RuntimeError(f"{INDEX} is missing: build the console first, with `make console`")
