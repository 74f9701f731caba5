"""`gateway ...`, as somebody types it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support import fork_server
from tests.support.environment import clean_environment
from tests.support.waiting import PATIENCE_S, until_sync

SCRIPTS = Path(sys.executable).parent


def environment(**names: str) -> dict[str, str]:
    """Return an environment in which `gateway` is on the PATH, as in an activated virtual environment."""
    return clean_environment(PATH=f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", **names)


def gateway(*args: str, within_s: float = PATIENCE_S, **names: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with these environment variables."""
    folder, env = Path.cwd(), environment(**names)
    return fork_server.finished("gateway", args, env=env, cwd=folder, within_s=within_s, as_script=True)


class Running:
    """A command that goes on until it is interrupted; what it has printed so far is in `output()`."""

    def __init__(self, process: fork_server.Forked | subprocess.Popen[str], stdout: Path, stderr: Path) -> None:
        self._process = process
        self._stdout = stdout
        self._stderr = stderr

    def output(self) -> str:
        """Return what it printed."""
        return self._stdout.read_text()

    def errors(self) -> str:
        """Return what it said on stderr."""
        return self._stderr.read_text()

    def printed(self, text: str) -> str:
        """Wait until it has printed something; return all its output."""
        return until_sync(lambda: self.output() if text in self.output() else "", what=f"{text!r} to be printed")

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit status."""
        return self.end(signal.SIGINT)

    def end(self, number: int) -> int:
        """Send a signal that ends it; return the exit status."""
        self._process.send_signal(number)
        return self._process.wait(PATIENCE_S)


@contextmanager
def running(folder: Path, *args: str, **names: str) -> Iterator[Running]:
    """Run a command in the background; it is ended at the end if it still runs."""
    stdout, stderr = folder / "stdout", folder / "stderr"
    with stdout.open("wb") as out, stderr.open("wb") as err, open(os.devnull) as nothing:
        process = fork_server.start(
            "gateway",
            args,
            env=environment(**names),
            cwd=Path.cwd(),
            as_script=True,
            stdin=nothing.fileno(),
            stdout=out.fileno(),
            stderr=err.fileno(),
        )
    try:
        yield Running(process, stdout, stderr)
    finally:
        if process.poll() is None:
            # As Ctrl-C does: killed, `gateway dev` would leave its Redis behind.
            process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S)
        process.kill()
        process.wait()
