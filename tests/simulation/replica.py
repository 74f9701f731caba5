"""A simulated replica: the product's own `Gateway`, as `gateway serve` runs it, in a process of the simulation."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.app.replica import Gateway
from gateway.core.limits import Limits
from gateway.errors import StartError
from gateway.settings import Settings
from gateway.tasks import cancelled
from tests.simulation.process import Process


class Replica:
    """One replica. `gateway` is the product's object, for the checks at the end."""

    def __init__(self, process: Process, settings: Settings, limits: Limits) -> None:
        self.process = process
        self.gateway: Gateway | None = None
        self.is_ready = False
        self.is_leaving = False
        self.has_ended = False
        self.error: Exception | None = None
        self._settings = settings
        self._limits = limits
        self._stop: asyncio.Event | None = None
        process.begin(self._serve)

    @property
    def name(self) -> str:
        return self.process.name

    def drain(self) -> None:
        """End in good order, as after SIGTERM."""
        self.is_leaving = True
        self.process.do(self._ask_to_stop)

    def _ask_to_stop(self) -> None:
        self.is_ready = False
        if self._stop is not None:
            self._stop.set()
        else:
            # It has not started yet: SIGTERM ends it.
            self.process.kill()

    async def _serve(self) -> None:
        """As `gateway.app.process.serve`, without its signals."""
        try:
            gateway: Any = Gateway(self._settings, any_origin=True, limits=self._limits)
            async with gateway:
                self.gateway = gateway
                self.is_ready = True
                self._stop = asyncio.Event()
                await self._stop.wait()
                draining = asyncio.ensure_future(gateway.drain())
                await asyncio.wait((draining,))
                await cancelled(draining)
        except StartError as error:
            self.process.world.trace.note(self.process.world.now, f"{self.name} could not start: {error}")
            self.error = error
        finally:
            self.is_ready = False
            self.has_ended = True
