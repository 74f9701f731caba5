"""`python -m tests.simulation`: the clocks are replaced before anything of the product is imported."""

import os
import sys
import warnings


def main() -> None:
    """Run the command, with one order of everything that Python hashes."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    from tests.simulation import system

    system.install()
    # Where a simulation ends, its processes are gone: what they had under way goes on nowhere.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited")
    from tests.simulation.command import run

    sys.exit(run(sys.argv[1:]))


main()
