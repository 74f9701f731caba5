"""What goes wrong, drawn at random: faults of tabs and faults of servers, each at its own pace."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from tests.faults.torture.pages import Tab
from tests.support.replica import Replica

if TYPE_CHECKING:
    from tests.faults.torture.trial import Trial

Fault = Callable[["Chaos"], Awaitable[None]]


class Chaos:
    """Does one thing after the other; what lasts goes on beside the next."""

    def __init__(self, trial: Trial) -> None:
        self.counts: Counter[str] = Counter()
        self.trial = trial
        self.draw = trial.draw
        self.redis = asyncio.Lock()
        """Held while something is done to Redis."""
        self.busy: set[Replica] = set()
        """Replicas that something is done to."""
        self._lasting: set[asyncio.Future[None]] = set()

    async def run(self, faults: Mapping[Fault, int], pause_s: float, until_at: float) -> None:
        """Do things, each as often as it weighs, `pause_s` apart on average."""
        loop = asyncio.get_running_loop()
        chosen, weights = [*faults], [*faults.values()]
        while True:
            pause = self.draw.expovariate(1 / pause_s)
            await asyncio.sleep(min(pause, max(0.0, until_at - loop.time())))
            if loop.time() >= until_at:
                return
            (fault,) = self.draw.choices(chosen, weights)
            self.counts[getattr(fault, "__name__", "")] += 1
            await fault(self)

    async def over(self) -> None:
        """Wait until what lasts is over."""
        while self._lasting:
            await asyncio.wait(self._lasting)

    # -- for faults

    def last(self, work: Awaitable[None]) -> None:
        """Have something go on beside the next fault."""
        task = asyncio.ensure_future(work)
        self._lasting.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._lasting.discard(task)
        error = task.exception()
        if error is not None:
            self.trial.troubles.append(f"a fault could not be made or mended: {error!r}")

    async def after(self, seconds: float, do: Callable[[], object], what: str) -> None:
        """Do something later."""
        await asyncio.sleep(seconds)
        do()
        self.trial.say(what)

    def tab(self) -> Tab:
        """Choose a tab."""
        return self.draw.choice(self.trial.open_tabs)

    def some(self, most: int) -> list[Tab]:
        """Choose one tab or several."""
        tabs = self.trial.open_tabs
        return self.draw.sample(tabs, min(len(tabs), self.draw.randrange(1, most + 1)))
