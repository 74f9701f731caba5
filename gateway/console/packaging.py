"""Looks after the console when a wheel is made: hatchling asks this before it makes one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INDEX = Path("gateway", "console", "dist", "index.html")
# Where it is `required` no wheel is made without: `make wheel` and the Dockerfile say so.
VARIABLE = "GATEWAY_CONSOLE"


class ConsoleHook(BuildHookInterface[Any]):
    """Looks for the built page. Without it everything else works, and /console says what is missing."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise for a wheel that would lack a page that is required, and warn of any other."""
        if version == "editable" or (Path(self.root) / INDEX).is_file():
            return
        missing = f"{INDEX} is missing: `make console` builds it, `make wheel` a wheel with it"
        if os.environ.get(VARIABLE) == "required":
            raise RuntimeError(missing)
        self.app.display_warning(missing)
