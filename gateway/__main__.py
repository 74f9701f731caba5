"""`python -m gateway`, and the console script `gateway`."""

import os
import signal
import sys

OURS = ("gateway", "publisher")


def main() -> None:
    """Run the command line and exit."""
    if os.getpid() == 1:
        # A container's first process gets no signal that it has no handler for. Until the command has its own,
        # a second of imports from here, this one keeps SIGTERM from being lost.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    try:
        from gateway.cli import main as command_line
    except ModuleNotFoundError as error:
        # The publisher alone brings this command along, too, and none of what the service needs.
        if error.name is None or error.name.partition(".")[0] in OURS:
            raise
        sys.exit(_not_installed(error.name))
    command_line()


def _not_installed(name: str) -> int:
    say = f"gateway: the service is not installed ({name} is missing): pip install 'pytake-realtime[gateway]'"
    print(say, file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
