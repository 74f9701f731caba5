"""The command line: `gateway serve | dev | token | publish | tail | check`."""

from gateway.cli.main import main

__all__ = ["main"]
