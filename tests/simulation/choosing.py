"""Chooses by a draw from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def pick(things: Sequence[T], draw: float) -> T:
    """Return one of these things."""
    return things[min(int(draw * len(things)), len(things) - 1)]


def pick_any(things: Sequence[T], draw: float) -> T | None:
    """Return one of these things; None if there are none."""
    return pick(things, draw) if things else None
