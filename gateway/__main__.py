"""`python -m gateway`, and the console script `gateway`."""

import os
import signal
import sys

OURS = ("gateway", "publisher")


def main() -> None:
    """Run the command line and exit."""
    if os.getpid() == 1:
        # The kernel drops signals for a container's first process if it has no handler. The command sets its own
        # about a second later, after its imports.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    try:
        from gateway.cli import main as command_line
    except ModuleNotFoundError as error:
        # The publisher's installation has this command, too, but not the dependencies of the service.
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
