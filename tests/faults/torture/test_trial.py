"""The whole harness on real servers: what nothing happens to holds, and what is left out is found."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis.asyncio

from publisher import wire
from publisher.rooms import Room
from tests.faults.torture.trial import Outcome, Scale, Trial
from tests.support.waiting import until

CALM = Scale(0, tabs=6, rate=20.0, tenants=2, replicas=1)
READY_S = 60.0

pytestmark = pytest.mark.timeout(400)


class Calm(Trial):
    """A trial in which nothing goes wrong."""

    async def _torture(self) -> None:
        await until(lambda: all(tab.is_settled for tab in self.open_tabs), READY_S, "all tabs to be settled")
        await self.sabotage()
        seen = [len(tab.diary.entries) for tab in self.open_tabs]
        await until(
            lambda: all(len(tab.diary.entries) > n for tab, n in zip(self.open_tabs, seen, strict=True)),
            READY_S,
            "every tab to see more",
        )

    async def sabotage(self) -> None:
        """Do nothing."""


class Sabotaged(Calm):
    """One in which an event is in the history of a room, and is told to nobody."""

    async def sabotage(self) -> None:
        tab = self.open_tabs[0]
        self.room = min(tab.wanted)
        async with redis.asyncio.Redis.from_url(self.ground.redis.url) as client:
            seq = int(await client.hincrby(wire.meta_key(tab.tenant), "seq", 1))
            fields = {wire.LogField.BODY: '["test:event",{"n":"p9-1"}]', wire.LogField.PREVIOUS: "0"}
            await client.xadd(wire.log_key(tab.tenant, Room(self.room)), fields, id=f"{seq}-0")  # type: ignore[arg-type]
        self.members = {one.name for one in self.open_tabs if self.room in one.wanted}


async def test_a_trial_in_which_nothing_goes_wrong_holds(tmp_path: Path) -> None:
    outcome = await Calm(1, CALM, tmp_path).run()
    assert outcome.holds, shown(outcome)
    assert outcome.verdict.owed > 20


async def test_an_event_that_nobody_was_told_is_found_at_each_member(tmp_path: Path) -> None:
    trial = Sabotaged(1, CALM, tmp_path)
    outcome = await trial.run()
    assert not outcome.troubles, shown(outcome)
    found = {(finding.kind, finding.page) for finding in outcome.verdict.findings}
    assert found == {("lost", name) for name in trial.members}, shown(outcome)
    assert "p9-1" in outcome.stories[0]


def shown(outcome: Outcome) -> str:
    return "\n".join([*outcome.troubles, *outcome.stories])
