"""The realtime gateway: Socket.IO for browsers, Redis behind it."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def installed_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("pytake-realtime")
    except PackageNotFoundError:
        return "unknown"
