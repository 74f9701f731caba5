"""An inbox is kept up to date without opening a conversation, by real pages on two replicas."""

from __future__ import annotations

from publisher import organization
from tests.inbox.conftest import Office, Open
from tests.support.browsers import Browser
from tests.support.publisher_process import PublisherProcess
from tests.support.pytake import as_seen, incoming_message
from tests.support.replica import Replica
from tests.support.tokens import mint


def names(page: Browser) -> list[str]:
    """Return the names of all events that a page got about messages, in order."""
    wanted = ("message:new", "conversation:updated")
    return [report["event"] for report in page.seen("event", lambda report: report["event"] in wanted)]


def after_all(backend: PublisherProcess, office: Office, *pages: Browser) -> None:
    """Wait until everything that was published has come."""
    backend.call("emit", office.id, "end", {}, to=[organization(office.id)])
    for page in pages:
        page.wait_for("end")


def test_every_agent_hears_of_a_message_without_opening_its_conversation(
    pair: list[Replica], backend: PublisherProcess, office: Office, page: Open
) -> None:
    pages = [page(pair[0].url), page(pair[1].url, office.rui, transports=["polling"])]
    message = incoming_message(office.talk, "Olá, quero saber do meu pedido")
    backend.call("message_new", office.id, message, inbox=True, unread=2)
    for each in pages:
        assert each.wait_for("conversation:updated") == {
            "conversation_id": office.talk,
            "last_message_at": as_seen(message)["created_at"],
            "preview": "Olá, quero saber do meu pedido",
            "message_type": "text",
            "unread": 2,
        }
    after_all(backend, office, *pages)
    assert [names(each) for each in pages] == [["conversation:updated"]] * 2


def test_whoever_has_it_open_gets_the_message_first(
    pair: list[Replica], backend: PublisherProcess, office: Office, page: Open
) -> None:
    reader = page(pair[0].url)
    reader.join(office.talk)
    for text in ("one", "two"):
        backend.call("message_new", office.id, incoming_message(office.talk, text), inbox=True)
    after_all(backend, office, reader)
    assert names(reader) == ["message:new", "conversation:updated"] * 2
    assert [data["preview"] for data in reader.events("conversation:updated")] == ["one", "two"]


def test_an_inbox_of_some_users_is_told_to_nobody_else(
    pair: list[Replica], backend: PublisherProcess, office: Office, page: Open
) -> None:
    ana, rui = page(pair[0].url), page(pair[1].url, office.rui)
    backend.call("message_new", office.id, incoming_message(office.talk), inbox=[office.rui])
    rui.wait_for("conversation:updated")
    after_all(backend, office, ana, rui)
    assert (names(ana), names(rui)) == ([], ["conversation:updated"])


def test_another_organization_hears_nothing(
    pair: list[Replica], backend: PublisherProcess, office: Office, page: Open, browsers: Open
) -> None:
    other = Office()
    stranger = browsers(pair[0].url, mint(office.ana, other.id))
    stranger.connected()
    backend.call("message_new", office.id, incoming_message(office.talk), inbox=True)
    after_all(backend, other, stranger)
    assert names(stranger) == []


def test_a_message_that_is_published_again_is_told_once(
    pair: list[Replica], backend: PublisherProcess, office: Office, page: Open
) -> None:
    inbox = page(pair[0].url)
    message = incoming_message(office.talk)
    first, again = (backend.call("message_new", office.id, message, inbox=True) for _ in range(2))
    assert (again.offset, again.duplicate) == (first.offset, True)
    after_all(backend, office, inbox)
    assert names(inbox) == ["conversation:updated"]


def test_what_an_inbox_missed_is_made_good(
    pair: list[Replica], backend: PublisherProcess, office: Office, page: Open
) -> None:
    inbox = page(pair[0].url, reconnectionDelay=250)
    inbox.cut()
    inbox.wait("disconnect")
    for text in ("one", "two"):
        backend.call("message_new", office.id, incoming_message(office.talk, text), inbox=True)
    assert inbox.connected(times=2)["recovered"]
    after_all(backend, office, inbox)
    assert [data["preview"] for data in inbox.events("conversation:updated")] == ["one", "two"]
