"""The browser client's types; that they compile, and that a misspelling does not, is seen in `tests/client`."""

from __future__ import annotations

import re

import pytest

from gateway.contract.schemas import models
from gateway.contract.typescript import events_ts
from publisher.events import COMMANDS, CONNECT_CODES, EVENT_CODES, EVENTS

FILE = events_ts()


def block(head: str) -> str:
    return FILE.partition(head)[2].partition("\n}")[0]


def test_every_event_is_in_the_maps() -> None:
    names = re.compile(r'^  "?([\w:]+)"?:', re.MULTILINE)
    assert names.findall(block("export interface ServerEvents {")) == list(EVENTS)
    assert names.findall(block("export interface ClientEvents {")) == list(COMMANDS)


def test_a_field_is_written_as_its_type_says() -> None:
    message = block("export interface MessageNew {")
    assert '\n  direction: "inbound" | "outbound";' in message
    assert "\n  created_at: Timestamp;" in message
    assert "\n  sent_at?: Timestamp | null;" in message
    assert "\n  whatsapp_message_id: string | null;" in message
    assert "\n  content: Record<string, unknown>;" in message
    assert "conversation_id" not in block("export interface Joined {")
    assert block("export interface JoinedConversation extends Joined {").strip() == "conversation_id: string;"


@pytest.mark.parametrize(("name", "codes"), [("ConnectCode", CONNECT_CODES), ("EventCode", EVENT_CODES)])
def test_every_code_is_there(name: str, codes: dict[str, object]) -> None:
    written = FILE.partition(f"export type {name} =")[2].partition(";")[0]
    assert re.findall(r'"(\w+)"', written) == list(codes)


def test_every_type_that_is_named_is_declared() -> None:
    declared = set(re.findall(r"^export (?:interface|type) (\w+)", FILE, re.MULTILINE))
    known = {model.__name__ for model in models()} | declared
    assert {name for name in known if re.search(rf"\b{name}\b[\[\];,]", FILE)} <= declared
