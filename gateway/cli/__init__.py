"""The command line: `gateway serve`, `dev`, `token`, `publish`, `top`, `tail`, `relay`, `schema`, `check`."""

from gateway.cli.main import main

__all__ = ["main"]
