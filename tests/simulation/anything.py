"""Stories of anything: joins, leaves, publishes, drops and broken connections in any order, drawn from a seed."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from gateway.core.limits import LIMITS
from publisher.rooms import user
from tests.simulation import system
from tests.simulation.plan import STORIES, STORY
from tests.simulation.run import Outcome
from tests.simulation.scene import SMALL, Scene

ALICE, BOB = "u0", "u1"
ACTS: Final = 40
# A page waits for 20 s for a connection that is dead, and some more until it tries again.
HEALING_S: Final = 30.0
FEWEST_PAGES: Final = 2
MOST_PAGES: Final = 5


class Anything:
    """What may happen next, one thing after the other."""

    def __init__(self, scene: Scene, chance: random.Random, *, loses: bool) -> None:
        self.scene = scene
        self.chance = chance
        self.pages = [scene.page(user) for user in (ALICE, ALICE, BOB)]
        self.noted = [page.socket.offset for page in self.pages]
        """Of each page an offset that it keeps for a later join."""
        rare: list[Callable[[], object]] = [
            *(self.join_since_an_earlier_offset, self.note_an_offset, self.type, self.look, self.take_away),
            *(self.drop_under_traffic, self.connection_breaks, self.leave_and_join_again, self.disconnect),
            *(
                self.flood,
                self.tell_and_take,
                self.be_late,
                self.freeze,
                self.deafen,
                self.come,
                self.go,
                self.wait,
            ),
        ]
        self.deeds: list[Callable[[], object]] = [
            *[self.publish] * 4,
            *[self.join] * 3,
            *[self.leave] * 2,
            *[self.drop] * 2,
            # A story of few kinds has more of each.
            *[deed for deed in rare if chance.random() < 0.6],
            *([self.lose_everything] if loses else []),
        ]

    def act(self) -> None:
        self.page = self.chance.choice(self.pages)
        self.room = self.chance.choice(self.scene.rooms)
        self.chance.choice(self.deeds)()
        self.scene.run(self.chance.choice((0.0, 0.0001, 0.001, 0.003, 0.01, 0.3)))

    def publish(self) -> None:
        rooms = self.chance.sample(self.scene.rooms, self.chance.randrange(3))
        if self.chance.random() < 0.2:
            rooms.append(user(self.page.user))
        if not rooms or self.chance.random() < 0.5:
            rooms.append(self.scene.everybody)
        skip, conflate = self.chance.choice((None, self.page)), self.chance.choice((None, "a", "b"))
        self.scene.publish(*rooms, times=self.chance.randint(1, 4), skip=skip, conflate=conflate)

    def flood(self) -> None:
        self.scene.publish(self.room, times=self.chance.choice((8, 12)), size=self.chance.choice((0, 200)))

    def join(self) -> None:
        self.scene.join(self.page, self.room, self.page.socket.offset)

    def leave(self) -> None:
        self.scene.leave(self.page, self.room)

    def note_an_offset(self) -> None:
        self.noted[self.pages.index(self.page)] = self.page.socket.offset

    def join_since_an_earlier_offset(self) -> None:
        self.scene.join(self.page, self.room, self.noted[self.pages.index(self.page)])

    def leave_and_join_again(self) -> None:
        for deed in (self.leave, self.join) * 2:
            deed()
            self.scene.run(self.chance.choice((0.0, 0.0005, 0.001)))

    def type(self) -> None:
        self.scene.type(self.page, self.room, begins=self.chance.random() < 0.5)

    def look(self) -> None:
        self.scene.look(self.page)

    def drop(self) -> None:
        if self.chance.random() < 0.5:
            self.scene.drop(self.page, self.chance.randrange(2))
        else:
            self.scene.reset(self.page, self.chance.randrange(2))

    def drop_under_traffic(self) -> None:
        self.drop()
        greeted = self.page.connects
        self.scene.until(lambda: self.page.connects > greeted or self.page.diary.ended)
        self.scene.publish(times=2)

    def connection_breaks(self) -> None:
        self.scene.break_redis(self.chance.randrange(2), kind=self.chance.choice(("commands", "messages")))

    def take_away(self) -> None:
        self.scene.take_away(self.page.user, self.room)

    def tell_and_take(self) -> None:
        self.scene.publish(user(self.page.user))
        self.take_away()

    def be_late(self) -> None:
        """Have what Redis says to a replica be late from now on."""
        kind, late_s = self.chance.choice(("commands", "messages")), self.chance.choice((0.0, 0.002, 0.02, 0.2))
        self.scene.delay(self.chance.randrange(2), kind, late_s)

    def freeze(self) -> None:
        process = self.scene.cluster.replicas[self.chance.randrange(2)].process
        process.freeze()
        self.scene.story.until(self.chance.choice((0.01, 0.3, 3.0)), process.thaw)

    def deafen(self) -> None:
        self.scene.deafen(self.page)

    def come(self) -> None:
        if len(self.pages) < MOST_PAGES:
            rooms = self.chance.sample(self.scene.rooms, self.chance.randrange(2))
            page = self.scene.open(self.chance.choice((ALICE, BOB)), self.chance.randrange(2), *rooms)
            self.pages.append(page)
            self.noted.append(None)

    def go(self) -> None:
        if len(self.pages) > FEWEST_PAGES:
            number = self.pages.index(self.page)
            del self.pages[number], self.noted[number]
            self.scene.go(self.page)

    def wait(self) -> None:
        self.scene.run(2.0)

    def disconnect(self) -> None:
        if self.chance.random() < 0.2:
            self.scene.disconnect(self.page.user)
            self.scene.run(0.1)
            for page in self.pages:
                if page.diary.ended:
                    self.scene.come_back(page)

    def lose_everything(self) -> None:
        for _ in range(self.chance.choice((1, 1, 2))):
            self.scene.lose_everything()
            self.scene.publish()
            self.scene.run(self.chance.choice((0.0, 0.001, 0.002)))


def run_story(seed: int, *, trace: bool = False) -> Outcome:
    """Tell the story of a seed; every run of the same one is the same."""
    began, chance = system.real_monotonic(), random.Random(seed - STORIES)
    loses = chance.random() < 0.25
    settings = _settings(chance)
    limits = replace(LIMITS, sample_every_s=5.0) if chance.random() < 0.2 else SMALL
    broken: dict[str, list[str]] = {}
    with Scene(limits=limits, trace=trace, **settings) as scene:
        scene.network.pieces = chance.choice((0.0, 0.0, 0.3))
        # A log that is trimmed or too short for the window is a cause.
        scene.may_be_told = "history_max_events" in settings
        try:
            broken = _tell(scene, chance, loses=loses)
        except Exception:  # noqa: BLE001  # one seed must not end all
            broken["running"] = traceback.format_exc().splitlines()
    story, world = scene.story, scene.world
    return Outcome(
        replace(story.plan, seed=seed, kind=STORY),
        broken,
        world.trace.checksum,
        world.trace.lines or [],
        world.now,
        system.real_monotonic() - began,
        len(scene.truth.events),
        story.verdict.owed,
        story.verdict.told,
        story.verdict.recovered,
    )


def _settings(chance: random.Random) -> dict[str, Any]:
    settings: dict[str, Any] = {"room_linger_s": chance.choice((0.0, 0.0, 0.5))}
    if chance.random() < 0.5:
        settings["history_max_events"] = 6
    return settings


def _tell(scene: Scene, chance: random.Random, *, loses: bool) -> dict[str, list[str]]:
    story = Anything(scene, chance, loses=loses)
    for _ in range(ACTS):
        story.act()
    for page in story.pages:
        if page.diary.ended:
            scene.come_back(page)
    return scene.rest(HEALING_S)
