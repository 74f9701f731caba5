"""The attacks, by what they aim at."""

from __future__ import annotations

import importlib
import pkgutil


def load_all() -> None:
    """Import every module, so that its cases are registered."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
