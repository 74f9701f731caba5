"""The threat model names only what there is: tests, attacks and settings."""

from __future__ import annotations

import re

import pytest

from gateway.settings import variable_names
from tests.hostile.attacks import load_all
from tests.hostile.cases import CASES
from tests.support.environment import ROOT

TEXT = (ROOT / "deploy" / "SECURITY.md").read_text()
QUOTED = re.findall(r"`([^`\s]+)`", TEXT)

load_all()
ATTACKS = {case.name for case in CASES}


def test_every_setting_in_it_is_a_setting() -> None:
    named = {word.partition("=")[0] for word in QUOTED if word.startswith(("GATEWAY_", "JWT_"))}
    assert named
    assert named <= set(variable_names())


@pytest.mark.parametrize("path", sorted({word for word in QUOTED if word.startswith(("tests/", "deploy/"))}))
def test_every_file_in_it_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_attack_in_it_is_played() -> None:
    rows = [line.split("|")[3] for line in TEXT.splitlines() if line.startswith("| ") and line.count("|") == 4]
    named = {word for cell in rows for word in re.findall(r"`([a-z_]+)`", cell)}
    assert len(named) > 30
    assert named <= ATTACKS


def test_every_attack_is_in_it() -> None:
    # Files of nonsense that show no limit of their own.
    more = {"deep_ids", "wrong_bodies", "deflate_charges", "segmented_posts", "events_in_one_body"}
    more |= {"typing_in_a_row", "wrong_events_in_a_row", "many_rooms", "unknown_namespaces"}
    assert ATTACKS - more <= set(QUOTED)
