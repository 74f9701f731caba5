"""Processes that are forked from one that has imported what they run: a start without two seconds of imports.

`Forked` is started and ended as a `subprocess.Popen` is. It is a process like any other: its pid, signals, files
and exit status are its own. Each module that is run has a server of its own, which ends with this process.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Final

from tests.support.environment import ROOT, clean_environment

IMPORTED: Final = {"gateway": "gateway.cli"}
"""What is imported for a module before it is run, other than the module itself."""
# What the interpreter looks at only as it starts: with one of these, a process has to be a new one.
_AT_START: Final = ("PYTHON", "LD_", "MALLOC_")
_STATUS: Final = struct.Struct("i")
_MAX_REQUEST: Final = 1 << 20


class Forked:
    """A process that runs a module, `gateway` by default. `stdin` and `stdout` are pipes where none are given."""

    def __init__(
        self,
        module: str,
        args: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        as_script: bool = False,
    ) -> None:
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        self.returncode: int | None = None
        self._lock = threading.Lock()
        theirs: list[int] = []
        if stdin is None:
            stdin, ours = os.pipe()
            self.stdin = open(ours, "w", buffering=1)  # noqa: SIM115
            theirs.append(stdin)
        if stdout is None:
            ours, stdout = os.pipe()
            self.stdout = open(ours)  # noqa: SIM115
            theirs.append(stdout)
        request = {"args": [*args], "env": {**env}, "cwd": str(cwd), "as_script": as_script}
        try:
            self._link = _server_of(module).connect()
            files = [stdin, stdout, 2 if stderr is None else stderr]
            socket.send_fds(self._link, [json.dumps(request).encode()], files)
        finally:
            for number in theirs:
                os.close(number)
        self.pid = self._told()

    def poll(self) -> int | None:
        """Return the exit status if the process has ended."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process; return its exit status."""
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal if the process has not ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """End it with SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def _ended(self, timeout: float | None) -> int | None:
        with self._lock:
            if self.returncode is None:
                self._link.settimeout(timeout)
                try:
                    self.returncode = self._told()
                except (BlockingIOError, TimeoutError):
                    return None
                self._link.close()
            return self.returncode

    def _told(self) -> int:
        """Return the next number that the server says."""
        said = self._link.recv(_STATUS.size)
        assert said, "the fork server has ended"
        number: int = _STATUS.unpack(said)[0]
        return number


def may_fork(environment: Mapping[str, str]) -> bool:
    """Return whether a process with this environment can be forked: it changes nothing of the interpreter."""
    usual = clean_environment()
    return sys.platform == "linux" and all(
        usual.get(name) == value for name, value in environment.items() if name.startswith(_AT_START)
    )


def start(
    module: str, args: Sequence[str], *, env: Mapping[str, str], cwd: Path, as_script: bool = False, **files: int
) -> Forked | subprocess.Popen[str]:
    """Run a module in a process, forked if that is possible; `files` are stdin, stdout and stderr.

    `as_script` runs the console script of that name instead.
    """
    if may_fork(env):
        return Forked(module, args, env=env, cwd=cwd, as_script=as_script, **files)
    program = [str(Path(sys.executable).parent / module)] if as_script else [sys.executable, "-m", module]
    return subprocess.Popen(
        [*program, *args],
        env=env,
        cwd=cwd,
        stdin=files.get("stdin", subprocess.PIPE),
        stdout=files.get("stdout", subprocess.PIPE),
        stderr=files.get("stderr"),
        text=True,
        bufsize=1,
    )


def finished(
    module: str,
    args: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    within_s: float,
    as_script: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a module to its end; return its status, and what it printed as text."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull) as nothing:
        files = {"stdin": nothing.fileno(), "stdout": out.fileno(), "stderr": err.fileno()}
        process = start(module, args, env=env, cwd=cwd, as_script=as_script, **files)
        try:
            process.wait(within_s)
        finally:
            process.kill()
            process.wait()
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(file.read().decode())
    return subprocess.CompletedProcess([module, *args], process.wait(), *printed)


# -- the server, as its clients see it


class _Server:
    """A server's process; it ends when its stdin does."""

    def __init__(self, module: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forks-")
        self._path = str(Path(self._folder.name, "socket"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self._path)
            listener.listen(128)
            number = listener.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", module, str(number)],
                env=clean_environment(),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                pass_fds=(number,),
            )
        atexit.register(self.close)

    def connect(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.connect(self._path)
        return link

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()


_servers: dict[str, _Server] = {}
_starting = threading.Lock()


def _server_of(module: str) -> _Server:
    with _starting:
        if module not in _servers:
            _servers[module] = _Server(module)
        return _servers[module]


# -- the server itself


def _serve(listener: socket.socket) -> dict[str, Any] | None:
    """Fork for each request until stdin ends; return the request in each new process, and None at the end."""
    woken, wakes = socket.socketpair()
    for each in (woken, wakes):
        each.setblocking(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    links: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for file in (listener, woken, sys.stdin):
            selector.register(file, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if sys.stdin in ready:
                return None
            if woken in ready:
                woken.recv(4096)
                _tell_ends(links)
            if listener in ready:
                link, _ = listener.accept()
                said, files, _, _ = socket.recv_fds(link, _MAX_REQUEST, 3)
                gc.freeze()
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    for each in (listener, woken, wakes, link, *links.values()):
                        each.close()
                    return {**json.loads(said), "files": files}
                for number in files:
                    os.close(number)
                links[pid] = link
                link.send(_STATUS.pack(pid))


def _tell_ends(links: dict[int, socket.socket]) -> None:
    """Say of every process that has ended with which status."""
    while links:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with links.pop(pid) as link, contextlib.suppress(OSError):
            link.send(_STATUS.pack(os.waitstatus_to_exitcode(status)))


def _run(module: str, request: dict[str, Any]) -> None:
    """Become what was asked for."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as at a terminal, wherever the tests run
    metrics = sys.modules.get("gateway.app.metrics")
    if metrics is not None:
        metrics.__dict__["STARTED_AT"] = time.time()  # otherwise noted at its import
    for number, file in enumerate(request["files"]):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = [module, *request["args"]]
    if request["as_script"]:
        sys.modules["__main__"] = ModuleType("__main__")
        importlib.import_module(f"{module}.__main__").main()
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # it has been imported before, on purpose
            runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    """Serve; each forked process comes back here, runs its module, and ends as any process does."""
    module, number = sys.argv[1:]
    importlib.import_module(IMPORTED.get(module, module))
    request = _serve(socket.socket(fileno=int(number)))
    if request is not None:
        _run(module, request)


if __name__ == "__main__":
    main()
