"""Answers that are kept: as long as they hold, and no more of them than there is room for."""

from __future__ import annotations

from gateway.access.answers import Answers
from publisher.rooms import Room

ANNA, BRUNO = ("t", "anna"), ("t", "bruno")
ONE, TWO = Room("conversation:1"), Room("conversation:2")


def test_an_answer_holds_for_its_time() -> None:
    answers = Answers(30.0)
    answers.put(ANNA, "agent", ONE, True, 100.0)
    answers.put(ANNA, "agent", TWO, False, 100.0)
    assert answers.get(ANNA, "agent", ONE, 129.9) is True
    assert answers.get(ANNA, "agent", TWO, 129.9) is False
    assert answers.get(ANNA, "agent", ONE, 130.0) is None


def test_without_a_time_none_holds() -> None:
    answers = Answers(0.0)
    answers.put(ANNA, "agent", ONE, True, 100.0)
    assert answers.get(ANNA, "agent", ONE, 100.0) is None
    assert len(answers) == 0


def test_an_answer_is_about_one_user_of_one_tenant_in_one_role_and_one_room() -> None:
    answers = Answers(30.0)
    answers.put(ANNA, "agent", ONE, True, 100.0)
    for user, role, room in [
        (BRUNO, "agent", ONE),
        (("u", "anna"), "agent", ONE),
        (ANNA, "admin", ONE),
        (ANNA, "agent", TWO),
    ]:
        assert answers.get(user, role, room, 100.0) is None


def test_a_newer_answer_replaces_an_older_one() -> None:
    answers = Answers(30.0)
    answers.put(ANNA, "agent", ONE, True, 100.0)
    answers.put(ANNA, "admin", ONE, False, 120.0)
    assert answers.get(ANNA, "agent", ONE, 120.0) is None
    assert answers.get(ANNA, "admin", ONE, 149.0) is False
    assert len(answers) == 1


def test_one_room_or_all_of_a_user_are_forgotten() -> None:
    answers = Answers(30.0)
    for user in (ANNA, BRUNO):
        for room in (ONE, TWO):
            answers.put(user, "agent", room, True, 100.0)
    answers.invalidate(ANNA, ONE)
    answers.invalidate(ANNA, ONE)
    assert [answers.get(ANNA, "agent", room, 100.0) for room in (ONE, TWO)] == [None, True]
    answers.invalidate(ANNA)
    answers.invalidate(ANNA)
    assert answers.get(ANNA, "agent", TWO, 100.0) is None
    assert answers.get(BRUNO, "agent", ONE, 100.0) is True
    assert len(answers) == 2


def test_who_was_asked_about_longest_ago_is_forgotten_first() -> None:
    answers = Answers(30.0, limit=3)
    answers.put(ANNA, "agent", ONE, True, 100.0)
    answers.put(BRUNO, "agent", ONE, True, 100.0)
    answers.put(BRUNO, "agent", TWO, True, 100.0)
    assert answers.get(ANNA, "agent", ONE, 100.0)
    answers.put(ANNA, "agent", TWO, True, 100.0)
    assert len(answers) == 2
    assert answers.get(BRUNO, "agent", ONE, 100.0) is None
    assert answers.get(ANNA, "agent", ONE, 100.0) is True


def test_who_asks_for_too_many_rooms_pushes_out_their_own_answers_only() -> None:
    answers = Answers(30.0, per_user=3)
    answers.put(ANNA, "agent", ONE, True, 100.0)
    for i in range(10):
        answers.put(BRUNO, "agent", Room(f"conversation:{i}"), False, 100.0)
    assert len(answers) == 4
    assert answers.get(ANNA, "agent", ONE, 100.0) is True
    assert answers.get(BRUNO, "agent", Room("conversation:9"), 100.0) is False
    assert answers.get(BRUNO, "agent", Room("conversation:6"), 100.0) is None
