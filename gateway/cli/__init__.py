"""The command line: `gateway serve | dev | token | publish | tail | check | relay`."""

from gateway.cli.main import main

__all__ = ["main"]
