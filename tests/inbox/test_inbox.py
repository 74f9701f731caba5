"""An inbox is kept up to date without opening a conversation, by real pages on two replicas."""

from __future__ import annotations

from dataclasses import replace

from publisher import organization
from tests.inbox.conftest import Office
from tests.support.browsers import Browser
from tests.support.pytake import as_seen, incoming_message
from tests.support.replica import Replica
from tests.support.tokens import new_id


def names(page: Browser) -> list[str]:
    """Return the names of all events that a page got about messages, in order."""
    wanted = ("message:new", "conversation:updated")
    return [report["event"] for report in page.seen("event", lambda report: report["event"] in wanted)]


def after_all(office: Office, *pages: Browser) -> None:
    """Wait until everything that was published has come."""
    office.publish("emit", "end", {}, to=[organization(office.id)])
    for page in pages:
        page.wait_for("end")


def test_every_agent_hears_of_a_message_without_opening_its_conversation(
    pair: list[Replica], office: Office
) -> None:
    pages = [office.page(pair[0].url), office.page(pair[1].url, office.bruno, transports=["polling"])]
    message = incoming_message(office.conversation, "Olá, quero saber do meu pedido")
    office.publish("message_new", message, inbox=True, unread=2)
    for each in pages:
        assert each.wait_for("conversation:updated") == {
            "conversation_id": office.conversation,
            "last_message_at": as_seen(message)["created_at"],
            "preview": "Olá, quero saber do meu pedido",
            "message_type": "text",
            "unread": 2,
        }
    after_all(office, *pages)
    assert [names(each) for each in pages] == [["conversation:updated"]] * 2


def test_whoever_has_it_open_gets_the_message_first(pair: list[Replica], office: Office) -> None:
    reader = office.page(pair[0].url)
    reader.join(office.conversation)
    for text in ("one", "two"):
        office.publish("message_new", incoming_message(office.conversation, text), inbox=True)
    after_all(office, reader)
    assert names(reader) == ["message:new", "conversation:updated"] * 2
    assert [data["preview"] for data in reader.events("conversation:updated")] == ["one", "two"]


def test_an_inbox_of_some_users_is_told_to_nobody_else(pair: list[Replica], office: Office) -> None:
    alice, bruno = office.page(pair[0].url), office.page(pair[1].url, office.bruno)
    office.publish("message_new", incoming_message(office.conversation), inbox=[office.bruno])
    bruno.wait_for("conversation:updated")
    after_all(office, alice, bruno)
    assert (names(alice), names(bruno)) == ([], ["conversation:updated"])


def test_another_organization_hears_nothing(pair: list[Replica], office: Office) -> None:
    other = replace(office, id=new_id())
    stranger = other.page(pair[0].url)
    office.publish("message_new", incoming_message(office.conversation), inbox=True)
    after_all(other, stranger)
    assert names(stranger) == []


def test_a_message_that_is_published_again_is_told_once(pair: list[Replica], office: Office) -> None:
    inbox = office.page(pair[0].url)
    message = incoming_message(office.conversation)
    first, again = (office.publish("message_new", message, inbox=True) for _ in range(2))
    assert (again.offset, again.duplicate) == (first.offset, True)
    after_all(office, inbox)
    assert names(inbox) == ["conversation:updated"]


def test_what_an_inbox_missed_is_made_good(pair: list[Replica], office: Office) -> None:
    inbox = office.page(pair[0].url, reconnectionDelay=250)
    inbox.cut()
    inbox.wait("disconnect")
    for text in ("one", "two"):
        office.publish("message_new", incoming_message(office.conversation, text), inbox=True)
    assert inbox.connected(times=2)["recovered"]
    after_all(office, inbox)
    assert [data["preview"] for data in inbox.events("conversation:updated")] == ["one", "two"]
