"""The order in which the three kinds of seeds are tried: long plans, races, and stories of anything."""

from __future__ import annotations

from random import Random
from typing import Final

from tests.simulation.plan import RACES, STORIES

_FIRST: Final = {"long": 1, "race": RACES, "story": STORIES}
# Of ten seeds six are stories, at a third of a second, three are races, at a second, and one is long, at three.
_ORDER: Final = ("story", "race", "story", "story", "race", "story", "long", "story", "race", "story")


def mixed(number: int) -> int:
    """Return the seed with this number, from 1 on, in an order in which the kinds take turns."""
    rounds, place = divmod(number - 1, len(_ORDER))
    kind = _ORDER[place]
    return _FIRST[kind] + rounds * _ORDER.count(kind) + _ORDER[:place].count(kind)


def drawn(chance: Random) -> int:
    """Return a seed that hardly anybody has tried, of a kind in these shares."""
    return _FIRST[chance.choice(_ORDER)] + chance.randrange(RACES)
