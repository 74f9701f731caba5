"""`gateway relay`, as a process of its own."""

from __future__ import annotations

import os
import tempfile

from tests.support import fork_server
from tests.support.environment import ROOT, clean_environment
from tests.support.waiting import PATIENCE_S


class RelayProcess:
    """One relay; the arguments are those of the command."""

    def __init__(self, *arguments: str) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        log = self._log.fileno()
        with open(os.devnull) as nothing:
            self._process = fork_server.start(
                "gateway",
                ["relay", *arguments],
                env=clean_environment(),
                cwd=ROOT,
                stdin=nothing.fileno(),
                stdout=log,
                stderr=log,
            )

    @property
    def output(self) -> str:
        """What it said so far."""
        self._log.seek(0)
        return self._log.read().decode()

    def is_relaying(self) -> bool:
        """Return whether it has begun."""
        return '"event": "relaying ' in self.output

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> tuple[int, str]:
        """End it with SIGTERM; return its exit status and what it said."""
        self._process.terminate()
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Wait for its end; return its exit status and what it said."""
        return self._process.wait(PATIENCE_S), self.output

    def close(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self.kill()
        self._log.close()
