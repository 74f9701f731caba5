"""A build hook of hatchling: checks that a wheel contains the built console."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INDEX = Path("gateway", "console", "dist", "index.html")
# With the value `required` a wheel without the page is an error; `make wheel` and the Dockerfile set it.
VARIABLE = "GATEWAY_CONSOLE"


class ConsoleHook(BuildHookInterface[Any]):
    """Checks for the built page. Without it /console shows an error, and the rest works."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise an error if the page is missing but required; warn if it is only missing."""
        if version == "editable" or (Path(self.root) / INDEX).is_file():
            return
        missing = f"{INDEX} is missing: run `make console`, or `make wheel` for a wheel with the console"
        if os.environ.get(VARIABLE) == "required":
            raise RuntimeError(missing)
        self.app.display_warning(missing)
