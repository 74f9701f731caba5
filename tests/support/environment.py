"""What a child process of a test is started with, and one that is run to its end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


def clean_environment(**names: str) -> dict[str, str]:
    """Return the environment of a child: nothing that would configure a gateway, and `names`."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | names


def finished(command: Sequence[str], *, check: bool = False, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; return its status, and what it printed as text."""
    return subprocess.run(command, capture_output=True, text=True, check=check, **options)


@pytest.fixture
def unconfigured(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Take away what would configure a gateway in this process."""
    for name in list(os.environ):
        if name.startswith("GATEWAY_") or name in ("REDIS_URL", "JWT_SECRET_KEY", "JWT_ALGORITHM"):
            monkeypatch.delenv(name)
    return monkeypatch
