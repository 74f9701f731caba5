"""Reads a Dockerfile, as far as its tests need it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction: its name in capitals, its flags, and the rest as one line."""

    name: str
    flags: dict[str, str]
    rest: str

    @property
    def words(self) -> list[str]:
        """Return the rest as words; of the exec form, what the JSON says."""
        if self.rest.startswith("["):
            parsed: list[str] = json.loads(self.rest)
            return parsed
        return self.rest.split()


def parse(path: Path) -> list[list[Instruction]]:
    """Return the stages, each from its FROM on; what comes before the first stage is left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    stages: list[list[Instruction]] = []
    for line in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, rest = line.strip().partition(" ")
        flags = {}
        while found := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            flags[found[1]] = found[2]
            rest = rest[found.end() :]
        if name == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(Instruction(name, flags, rest))
    return stages


def named(stage: list[Instruction], name: str) -> list[Instruction]:
    """Return a stage's instructions of one name."""
    return [instruction for instruction in stage if instruction.name == name]
