"""Serve the app for the official test suites: ``python -m tests.conformance --port 3000``.

The suites are `docs/engine.io-protocol/v4-test-suite` and `docs/socket.io-protocol/v5-test-suite` of the
repository socketio/socket.io; in each, ``npm ci && npm test``. With ``--echo`` it serves a plain websocket echo
instead, for Autobahn's suite: see tests/README.md.
"""

import argparse
import asyncio
import sys

import uvloop

from tests.conformance.app import serve
from tests.conformance.echo import serve_echo


async def run(host: str, port: int, *, echo: bool) -> None:
    """Serve until interrupted."""
    async with serve_echo(host, port) if echo else serve(host, port) as bound:
        sys.stdout.write(f"listening on {host}:{bound}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    # The suites connect to "localhost", which may be either address family.
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--asyncio", action="store_true", help="asyncio's own loop instead of uvloop")
    parser.add_argument("--echo", action="store_true", help="a plain websocket echo, without Engine.IO")
    given = parser.parse_args()
    runner = asyncio.run if given.asyncio else uvloop.run
    try:
        runner(run(given.host, given.port, echo=given.echo))
    except KeyboardInterrupt:
        sys.stdout.write("stopped\n")


if __name__ == "__main__":
    main()
