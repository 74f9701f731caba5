"""What takes all of the machine: one such thing at a time, whatever else the other workers of a run do."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def alone(folders: pytest.TempPathFactory) -> Iterator[None]:
    """Wait until no other worker of this run is in here; what they have in common is where their folders are."""
    with (folders.getbasetemp().parent / "alone.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
