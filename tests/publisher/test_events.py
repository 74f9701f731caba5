"""The contract's types: complete, in step with the verbs, and fit to be published."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from publisher import Options
from publisher.envelope import EVENT_NAME, RESERVED_EVENTS
from publisher.events import COMMANDS, EVENT_CODES, EVENTS, MessageNew, Payload, Status, examples
from publisher.events.codes import ANY_EVENT, CONNECT_CODES
from publisher.verbs import STATUS_VERSION
from tests.publisher.bus import Recorder, body
from tests.support.tokens import new_id

ORG = new_id()
EXAMPLES = {name: value for name, value in vars(examples).items() if isinstance(value, Payload)}

strict = Recorder(Options(validate="raise"))


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_is_as_its_type_says(example: Payload) -> None:
    encoded = msgspec.json.encode(example)
    assert msgspec.json.decode(encoded, type=type(example)) == _as_json_has_it(example)


def _as_json_has_it(example: Payload) -> Payload:
    """Give it with what is typed as anything as plain JSON."""
    if isinstance(example, type(examples.JOINED_CONVERSATION)):
        past = [msgspec.structs.replace(event, data=msgspec.to_builtins(event.data)) for event in example.events]
        return msgspec.structs.replace(example, events=past)
    return example


def test_every_name_may_be_an_event() -> None:
    for name in (*EVENTS, *COMMANDS):
        assert EVENT_NAME.fullmatch(name)
        assert name not in RESERVED_EVENTS


def test_every_event_goes_somewhere_and_every_answer_is_an_event() -> None:
    assert [event.name for event in EVENTS.values() if not event.rooms] == []
    told = {name for command in COMMANDS.values() for name in (command.event, command.tells) if name}
    assert told <= set(EVENTS)
    for command in COMMANDS.values():
        if command.event:
            assert EVENTS[command.event].payload is command.answer


def test_every_code_that_an_event_may_fail_with_is_in_the_table() -> None:
    codes = {code for command in COMMANDS.values() for code in (*command.codes, *ANY_EVENT)}
    assert codes <= set(EVENT_CODES) | set(CONNECT_CODES)
    assert set(EVENT_CODES) - codes == {"unknown_event"}


def test_the_states_of_a_message_are_those_that_have_a_place() -> None:
    assert get_args(Status) == tuple(STATUS_VERSION)


def test_every_type_of_every_event_says_what_it_is() -> None:
    models = [event.payload for event in EVENTS.values()] + [command.payload for command in COMMANDS.values()]
    assert [model for model in models if not (model.__doc__ or "").partition("\n")[0].endswith(".")] == []


# -- published as they are


def test_a_typed_message_is_published_as_the_mapping_is() -> None:
    typed = examples.MESSAGE
    mapping = msgspec.to_builtins(typed)
    ours, theirs = strict.message_new(ORG, typed, inbox=True), strict.message_new(ORG, mapping, inbox=True)
    assert body(ours) == body(theirs) == ["message:new", mapping]
    assert ours.keys == theirs.keys
    assert ours.also is not None
    assert body(ours.also)[1]["preview"] == "Olá!"


def test_what_a_typed_message_leaves_out_is_not_there() -> None:
    assert "sent_at" not in body(strict.message_new(ORG, examples.MESSAGE))[1]
    sent = msgspec.structs.replace(examples.MESSAGE, sent_at=None)
    assert isinstance(sent, MessageNew)
    assert body(strict.message_new(ORG, sent))[1]["sent_at"] is None


def test_typed_notifications_and_progress_are_published_too() -> None:
    assert body(strict.notification_new(ORG, new_id(), examples.NOTIFICATION))[1]["tag"]
    progress = strict.campaign_progress(ORG, str(examples.PROGRESS.campaign_id), examples.PROGRESS)
    assert body(progress) == ["campaign:progress", msgspec.to_builtins(examples.PROGRESS)]


@pytest.mark.parametrize(
    "event", [event for event in EVENTS.values() if event.by == "backend"], ids=lambda event: event.name
)
def test_any_typed_event_is_published_by_emit(event: Any) -> None:
    envelope = strict.emit(ORG, event.name, event.example, to=f"user:{new_id()}")
    assert body(envelope) == [event.name, msgspec.to_builtins(event.example)]
