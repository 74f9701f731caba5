"""The process around a replica: its event loop, its signals, its open files."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
from collections.abc import Callable
from typing import Any

import structlog

from gateway.app.replica import Gateway
from gateway.settings import Settings
from gateway.tasks import cancelled

# A lower limit of open files is logged at the start, as each socket takes a file.
FEW_FILES = 4096

_log = structlog.get_logger("gateway")


async def serve(
    settings: Settings,
    *,
    started: Callable[[Gateway], None] | None = None,
    hangup_ends: bool = False,
    **options: Any,
) -> None:
    """Run a replica until SIGTERM or SIGINT; `options` and errors are those of `Gateway`.

    SIGHUP makes the replica read its certificate again. With `hangup_ends`, SIGHUP means that the terminal has
    closed, and ends the replica.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gateway = Gateway(settings, **options)
    # Under `nohup` SIGHUP is ignored, and stays ignored if it would end the replica.
    if not hangup_ends:
        loop.add_signal_handler(signal.SIGHUP, gateway.reload_certificate)
    elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, stop.set)
    async with gateway:
        if started is not None:
            started(gateway)
        # Objects that exist by now stay. Frozen, they no longer cost the garbage collector 20 ms at a time.
        gc.collect()
        gc.freeze()
        await stop.wait()
        # A second signal ends the drain at once.
        stop.clear()
        draining = asyncio.ensure_future(gateway.drain())
        hurried = asyncio.ensure_future(stop.wait())
        await asyncio.wait((draining, hurried), return_when=asyncio.FIRST_COMPLETED)
        await cancelled(draining, hurried)


def run(settings: Settings, **options: Any) -> None:
    """Run a replica on uvloop, as `serve` does."""
    if (limit := raise_file_limit()) < FEW_FILES:
        _log.warning("file_limit_low", limit=limit, enough=FEW_FILES)
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(settings, **options))


def raise_file_limit() -> int:
    """Raise the limit of open files to the hard limit, as each socket takes a file; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
