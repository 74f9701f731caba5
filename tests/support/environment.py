"""What a child process of a test is started with."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


def clean_environment(**names: str) -> dict[str, str]:
    """Return the environment of a child: nothing that would configure a gateway, and `names`."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | names
