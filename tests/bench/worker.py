"""A child process that is told what to do, one JSON line at a time: load generators and publishers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

from tests.support.environment import clean_environment


class BenchError(Exception):
    """A measurement is not possible; the message says why."""


class Worker:
    """A child running `python -m module`, which calls `obey`. It also ends when its stdin does."""

    def __init__(self, module: str, **environment: str) -> None:
        self._module = module
        self._environment = environment

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module],
            env=clean_environment(**self._environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C in the terminal is for us, who then end this one.
            start_new_session=True,
        )
        return self

    def __exit__(self, *exc: object) -> None:
        # It has nothing to keep, and may be in the middle of something.
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def tell(self, verb: str, **arguments: Any) -> None:
        """Start something, so that several workers do it at a time; `answer` has its outcome."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": verb} | arguments) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the outcome of what was told; raises `BenchError`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"{self._module} ended with status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise BenchError(answer["error"])
        return answer["gives"]

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Tell, and wait for the answer."""
        self.tell(verb, **arguments)
        return self.answer()


async def obey(verbs: Mapping[str, Callable[..., Awaitable[Any]]]) -> None:
    """Do what the parent tells, until it closes our stdin."""
    lines = asyncio.StreamReader(limit=1 << 26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        told = json.loads(line)
        try:
            answer = {"gives": await verbs[told.pop("do")](**told)}
        except (BenchError, OSError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
