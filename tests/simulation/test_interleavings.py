"""Joins, leaves, publishes, drops, recoveries and broken connections: once, in order, or told.

Each story once ended badly. Most are told again and again, with a trouble before one message after the other.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.sessions.keys import session_key
from publisher import wire
from tests.simulation.scene import SMALL, Scene, sweep
from tests.simulation.scripted_page import ScriptedPage

pytestmark = [pytest.mark.simulated, pytest.mark.timeout(300)]

ALICE, BOB = "u0", "u1"
# Sooner than a heartbeat would end a silent connection.
TOLD_S = 6.0
# Longer than a published message takes.
LATE_S = 0.002


# -- troubles


def publishes(scene: Scene) -> None:
    """A backend publishes to everybody, and to two rooms that not everybody is in."""
    scene.publish(scene.everybody)
    scene.publish(*scene.rooms[:2])


def loses_everything(scene: Scene) -> None:
    scene.lose_everything()
    scene.publish()


def breaks_commands(scene: Scene) -> None:
    scene.break_redis(0, kind="commands")


def breaks_messages(scene: Scene) -> None:
    scene.break_redis(0, kind="messages")


def disconnects_alice(scene: Scene) -> None:
    scene.disconnect(ALICE)


def takes_the_room_from_alice(scene: Scene) -> None:
    scene.take_away(ALICE, scene.rooms[0])


# -- two rooms


def test_an_event_for_two_rooms_is_told_or_comes_but_never_both() -> None:
    def story(scene: Scene) -> None:
        alice = scene.page(ALICE)
        scene.page(BOB, 0, scene.rooms[1])
        noted = alice.socket.offset
        scene.publish(*scene.rooms[:2])
        scene.trouble_begins()
        scene.join(alice, scene.rooms[0], noted)
        scene.join(alice, scene.rooms[1], noted)
        scene.run(1.0)

    sweep(story, publishes)


def test_what_came_by_a_room_that_was_left_since_is_not_told_of_another() -> None:
    with Scene() as scene:
        alice = scene.page(ALICE, 0, scene.rooms[0])
        noted = alice.socket.offset
        came = scene.publish(*scene.rooms[:2])
        scene.until(lambda: alice.got == came)
        scene.leave(alice, scene.rooms[0])
        scene.run(0.1)
        scene.join(alice, scene.rooms[1], noted)
        scene.settle()
        assert alice.answered == []
        assert alice.caught_up[-1].complete


def test_what_came_by_a_room_that_was_taken_away_meanwhile_is_not_told_of_another() -> None:
    with Scene() as scene:
        alice = scene.page(ALICE, 0, scene.rooms[0])
        noted = alice.socket.offset
        came = scene.publish(*scene.rooms[:2])
        scene.until(lambda: alice.got == came)
        scene.reset(alice, 1)
        scene.take_away(ALICE, scene.rooms[0])
        missed = scene.publish(*scene.rooms[:2])
        scene.until(lambda: alice.recoveries == [False, True])
        scene.join(alice, scene.rooms[1], noted)
        scene.settle()
        assert alice.answered == missed


def test_who_left_a_room_and_comes_again_is_not_told_what_it_had() -> None:
    with Scene() as scene:
        alice = scene.page(ALICE, 0, scene.rooms[0])
        noted = alice.socket.offset
        scene.publish(scene.rooms[0])
        scene.run(0.1)
        scene.leave(alice, scene.rooms[0])
        scene.run(0.1)
        missed = scene.publish(scene.rooms[0])
        scene.join(alice, scene.rooms[0], noted)
        scene.settle()
        assert alice.answered == missed


def test_what_a_socket_was_given_and_never_heard_is_told_when_it_joins_again() -> None:
    with Scene() as scene:
        alice = scene.page(ALICE, 0, scene.rooms[0])
        heard = scene.publish(scene.rooms[0])
        scene.until(lambda: alice.got == heard)
        noted = alice.socket.offset
        scene.deafen(alice)
        unheard = scene.publish(scene.rooms[0])
        scene.run(0.1)
        scene.leave(alice, scene.rooms[0])
        scene.run(0.1)
        scene.drop(alice, 1)
        scene.until(lambda: alice.recoveries == [False, True])
        scene.join(alice, scene.rooms[0], noted)
        scene.settle()
        assert alice.answered == unheard


# -- losses


def test_too_much_at_once_in_a_new_epoch_does_not_hold_a_tenant_up_for_ever() -> None:
    def story(scene: Scene) -> None:
        for user in (ALICE, ALICE, BOB):
            scene.page(user)
        scene.lose_everything()
        scene.network.pieces = 1.0
        scene.trouble_begins(here="replica-1")
        scene.publish(times=4)
        scene.run(0.2)

    def publishes_too_much(scene: Scene) -> None:
        """All of it arrives in one moment, and is read in many pieces."""
        replica = scene.cluster.replicas[0].process
        replica.freeze()
        scene.publish(times=3 * SMALL.backlog_messages)
        scene.world.after(LATE_S, replica.thaw)

    sweep(story, publishes_too_much)


def test_a_user_who_is_disconnected_during_a_join_does_not_come_back_half_deaf() -> None:
    def story(scene: Scene) -> None:
        alice = scene.page(ALICE)
        scene.trouble_begins()
        scene.join(alice, scene.rooms[0])
        scene.run(0.5)
        scene.trouble_ends()
        if alice.diary.ended:
            scene.come_back(alice)
        scene.until(lambda: alice.is_settled)
        scene.publish()
        scene.publish(scene.rooms[0])

    sweep(story, disconnects_alice)


def test_what_is_missed_while_the_last_loss_is_being_told_is_told_as_well() -> None:
    def story(scene: Scene) -> None:
        alice = scene.page(ALICE)
        scene.page(BOB, 1)
        scene.lose_everything()
        scene.publish()
        scene.trouble_begins(here="replica-1")
        scene.run(0.002)
        scene.drop(alice)
        scene.publish()
        scene.until(lambda: alice.is_greeted)

    sweep(story, loses_everything)


def test_who_drops_before_hearing_that_something_is_lost_is_told_the_next_time() -> None:
    with Scene() as scene:
        alice = scene.page(ALICE)
        scene.disconnect(ALICE)
        scene.until(lambda: alice.diary.ended)
        scene.publish()
        alice.at_connect = lambda: scene.lose_network(alice)
        scene.come_back(alice)
        scene.until(lambda: len(alice.recoveries) == 2)
        scene.may_be_told = True
        scene.settle()
        assert alice.recoveries == [False, False]
        assert alice.connects == 3


def test_who_is_silenced_while_redis_can_not_be_asked_is_told_when_it_can() -> None:
    def story(scene: Scene) -> None:
        alice = scene.page(ALICE)
        scene.lose_everything()
        scene.trouble_begins(here="replica-1")
        scene.publish()
        scene.join(alice, scene.rooms[0])
        scene.run(0.1)
        scene.trouble_ends()
        scene.until(lambda: alice.recoveries == [False, False], "it was not told", within_s=TOLD_S)

    sweep(story, breaks_commands)


def test_a_room_that_is_taken_away_while_a_loss_is_told_is_not_given_back() -> None:
    def story(scene: Scene) -> None:
        alice = scene.page(ALICE, 0, scene.rooms[0])
        alice.rejoins = False
        scene.lose_everything()
        scene.publish()
        scene.trouble_begins()
        scene.run(0.5)

    def takes_it_and_breaks_commands(scene: Scene) -> None:
        takes_the_room_from_alice(scene)
        breaks_commands(scene)

    sweep(story, takes_the_room_from_alice, takes_it_and_breaks_commands)


# -- conflation, where something waits


def waiting(scene: Scene) -> tuple[ScriptedPage, list[str]]:
    """Return a page in the first room, and two events under one key, of which the second waits for it."""
    alice = scene.page(ALICE, 0, scene.rooms[0])
    both = scene.publish(scene.rooms[0], times=2, conflate="a")
    scene.run(0.01)
    assert alice.got == both[:1]
    return alice, both


def test_who_leaves_a_room_has_got_what_waited_of_it() -> None:
    with Scene() as scene:
        alice, both = waiting(scene)
        scene.leave(alice, scene.rooms[0])
        scene.run(0.05)
        assert alice.got == both
        scene.settle()


def test_what_waits_when_access_is_taken_away_comes_first() -> None:
    with Scene() as scene:
        alice, both = waiting(scene)
        scene.take_away(ALICE, scene.rooms[0])
        scene.until(lambda: not alice.joined)
        assert alice.got == both
        scene.settle()


def test_what_waits_for_a_socket_that_drops_is_there_when_it_comes_back() -> None:
    with Scene() as scene:
        alice, both = waiting(scene)
        scene.drop(alice, 1)
        scene.until(lambda: len(alice.recoveries) == 2)
        assert (alice.got, alice.recoveries) == (both, [False, True])
        scene.settle()


def test_a_room_that_is_joined_meanwhile_gets_its_answer_behind_what_waits() -> None:
    with Scene() as scene:
        alice, both = waiting(scene)
        scene.join(alice, scene.rooms[1], alice.socket.offset)
        scene.until(lambda: scene.rooms[1] in alice.joined)
        assert alice.got == both
        scene.settle()


def test_of_a_flood_that_was_missed_only_the_last_is_handed_out() -> None:
    with Scene() as scene:
        alice, both = waiting(scene)
        scene.break_redis(0, kind="messages")
        flood = [*(scene.publish(scene.rooms[0], conflate=key)[0] for key in ("a", "b", "a", "b"))]
        scene.run(2.0)
        assert [ident for ident in alice.got if ident not in both] == flood[2:]
        scene.settle()


# -- a log that can't be read


def unreadable(scene: Scene) -> tuple[str, list[ScriptedPage]]:
    """Have all pages miss an event, and in place of the log of a room an operator's mistake; return its key."""
    pages = [scene.page(ALICE, 0, scene.rooms[0]), scene.page(ALICE), scene.page(BOB)]
    scene.break_redis(0, kind="messages")
    scene.publish()
    key = wire.log_key(scene.tenant, scene.rooms[0])
    scene.redis("SET", key, "oops")
    scene.run(1.0)
    assert not any(page.got for page in pages)
    return key, pages


def test_what_waits_for_a_log_that_can_not_be_read_comes_once_it_can() -> None:
    with Scene() as scene:
        key, pages = unreadable(scene)
        scene.publish(times=5)
        scene.run(10.0)
        scene.redis("DEL", key)
        scene.settle()
        assert [page.recoveries for page in pages] == [[False]] * 3


def test_who_waits_for_one_for_long_is_told() -> None:
    with Scene() as scene:
        key, pages = unreadable(scene)
        scene.run(SMALL.reread_tell_s + 5.0)
        assert not any(page.is_greeted for page in pages)
        scene.redis("DEL", key)
        scene.may_be_told = True
        scene.settle()
        assert [page.recoveries for page in pages] == [[False, False]] * 3


# -- a session that Redis and the replica must not see differently


def test_who_could_not_leave_is_still_there() -> None:
    def story(scene: Scene) -> None:
        alice = scene.page(ALICE, 0, scene.rooms[0])
        alice.rejoins = False
        scene.trouble_begins(here="replica-1", there="")
        scene.leave(alice, scene.rooms[0])
        scene.run(0.1)
        scene.trouble_ends()
        scene.publish(scene.rooms[0])
        scene.publish()
        scene.run(0.1)
        scene.drop(alice, 1)
        scene.publish(scene.rooms[0])

    sweep(story, breaks_commands)


def test_who_could_not_join_is_told_later_what_was_there() -> None:
    def story(scene: Scene) -> None:
        alice = scene.page(ALICE, 0, scene.rooms[0])
        alice.rejoins = False
        scene.trouble_begins(here="replica-1", there="")
        scene.join(alice, scene.rooms[1])
        scene.run(0.1)
        scene.trouble_ends()
        noted = alice.socket.offset
        scene.publish(scene.rooms[1])
        scene.publish()
        scene.run(0.1)
        scene.drop(alice, 1)
        scene.until(lambda: len(alice.recoveries) == 2 and alice.is_greeted)
        scene.join(alice, scene.rooms[1], noted)
        scene.run(0.1)

    sweep(story, breaks_commands)


def test_a_session_that_is_written_anew_during_a_leave_does_not_have_the_room_again() -> None:
    def story(scene: Scene) -> None:
        pages = [scene.page(user, 0, scene.rooms[0]) for user in (ALICE, ALICE, BOB)]
        # Its sockets are taken for gone, as after a pause of Redis, so that all of its session is written.
        scene.redis("DEL", f"rt:{{{scene.tenant}}}:leases")
        scene.in_replica(0, lambda gateway: gateway.server.presence.periodic.once())
        scene.trouble_begins(here="replica-1")
        scene.run(1.0)
        for page in pages:
            key = session_key(scene.tenant, page.socket.pid or "")
            assert scene.redis("EXISTS", key)
            assert not scene.network.has_struck or not scene.redis("HGET", key, f"r:{scene.rooms[0]}"), page.name

    def all_leave(scene: Scene) -> None:
        for page in scene.story.all_pages:
            scene.leave(page, scene.rooms[0])  # type: ignore[arg-type]

    sweep(story, all_leave)


def test_a_frozen_replica_does_not_bring_back_a_session_that_ended_meanwhile() -> None:
    with Scene() as scene:
        alice = scene.page(ALICE)
        # What it has yet to hear is on its way still.
        scene.delay(0, "messages", 3.0)
        scene.drop(alice, 1)
        scene.until(lambda: alice.recoveries == [False, True])
        key = session_key(scene.tenant, alice.socket.pid or "")
        scene.go(alice)
        scene.until(lambda: not scene.redis("HGET", key, "u"))
        scene.redis("DEL", key)
        scene.in_replica(0, lambda gateway: gateway.server.leases.periodic.once())
        for _ in range(50):
            scene.run(0.1)
            assert not scene.redis("EXISTS", key)
        scene.settle()


# -- arrivals


def test_who_arrives_hides_nothing_from_who_comes_back() -> None:
    def story(scene: Scene) -> None:
        alice = scene.page(ALICE)
        scene.page(ALICE)
        scene.drop(alice, 1)
        # What is published while an answer is under way comes first.
        scene.delay(1, "commands", LATE_S)
        scene.trouble_begins(here="replica-2")
        scene.until(lambda: len(alice.recoveries) == 2)
        scene.run(0.1)

    def bob_comes(scene: Scene) -> None:
        if len(scene.story.all_pages) == 2:
            scene.open(BOB, 1)
        scene.publish()

    sweep(story, bob_comes, strikes=8)


def test_who_drops_during_a_long_replay_is_told_what_is_lost_of_it() -> None:
    with Scene(limits=replace(SMALL, replay_portion_bytes=50), history_max_events=6) as scene:
        for replica in (0, 1):
            scene.gateway(replica).server.members.sessions._unnoticed_us = 0
        alice = scene.page(ALICE)
        scene.drop(alice, 1)
        scene.publish(times=6, size=50_000)
        alice.at_connect = lambda: scene.deafen(alice)
        scene.until(lambda: alice.connects == 2)
        for _ in range(2):
            scene.run(0.5)
            scene.in_replica(1, lambda gateway: gateway.server.leases.periodic.once())
        scene.run(0.1)
        assert len(alice.got) < 6, "the replay is paced"
        scene.drop(alice)
        scene.publish(times=6)
        scene.until(lambda: alice.connects == 3)
        scene.may_be_told = True
        scene.settle()
        assert alice.recoveries == [False, False]


def test_who_comes_back_to_a_busy_room_is_live_when_it_has_read_what_it_missed() -> None:
    with Scene() as scene:
        alice = scene.page(ALICE, transport="polling")
        scene.drop(alice, 1)
        scene.publish(times=6, size=200)
        scene.until(lambda: alice.connects == 2)
        for _ in range(40):
            scene.publish()
            scene.run(0.01)
        (member,) = scene.gateway(1).server.members.by_sid.values()
        assert not member.holds
        scene.settle()
        assert alice.recoveries == [False, True]


def new_page_after(scene: Scene) -> None:
    """Have a new page come, drop, come back, and join the first room since a time before it came."""
    bob = scene.page(BOB)
    earlier = bob.socket.offset
    scene.delay(0, "commands", LATE_S)
    scene.trouble_begins(here="replica-1")
    alice = scene.open(ALICE)
    scene.until(lambda: alice.is_settled)
    scene.run(0.05)
    scene.trouble_ends()
    scene.drop(alice)
    scene.until(lambda: alice.recoveries == [False, True])
    scene.join(alice, scene.rooms[0], earlier)


def test_what_came_before_a_socket_was_in_its_rooms_it_did_not_get_there() -> None:
    sweep(new_page_after, publishes_to_a_room_and_everybody, strikes=2)


def publishes_to_a_room_and_everybody(scene: Scene) -> None:
    scene.publish(scene.rooms[0], scene.everybody)


def test_what_comes_while_an_arrival_writes_that_it_is_in_its_rooms_later_is_for_it() -> None:
    sweep(new_page_after, publishes_to_a_room_and_everybody, strikes=12)
