"""`python -m gateway`, and the console script `gateway`."""

import os
import signal


def main() -> None:
    """Run the command line and exit."""
    if os.getpid() == 1:
        # A container's first process gets no signal that it has no handler for. Until the command has its own,
        # a second of imports from here, this one keeps SIGTERM from being lost.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    from gateway.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
