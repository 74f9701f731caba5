"""The first request of the page: facts about the gateway, and the page's permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway import installed_version
from gateway.console.demo_data import ALICE, BRUNO, CONVERSATION, ORGANIZATION
from gateway.console.models import LONGEST_TOKEN_S
from gateway.settings import Settings
from gateway.settings.access import OWN_KINDS

if TYPE_CHECKING:
    from gateway.app.replica import Gateway

DEMO = {
    "organization_id": ORGANIZATION,
    "conversation_id": CONVERSATION,
    "people": [{"user_id": ALICE, "name": "Alice"}, {"user_id": BRUNO, "name": "Bruno"}],
}


def about(gateway: Gateway, origin: str, open_with: str | None) -> dict[str, Any]:
    """Return facts for the page; `origin` is the one that the page was loaded from."""
    settings = gateway.settings
    reason = no_minting(settings)
    return {
        "mode": "serve" if open_with is None else "dev",
        "version": installed_version(),
        "replica": gateway.replica,
        "key": open_with,
        "minting": {"available": True} if reason is None else {"available": False, "reason": reason},
        "sockets": gateway.server.eio.options.allow_origin(origin),
        "demo": DEMO,
        "room_kinds": [*OWN_KINDS, *settings.room_kinds],
        "longest_token_s": longest_token_s(settings),
    }


def no_minting(settings: Settings) -> str | None:
    """Return the reason why tokens can't be minted here; None if they can."""
    if not settings.console_tokens:
        return "off"
    return None if settings.is_secret else "public_keys"


def longest_token_s(settings: Settings) -> int:
    """Return the longest lifetime of a token that is minted here, in seconds."""
    return int(min(LONGEST_TOKEN_S, settings.token_max_lifetime_s or LONGEST_TOKEN_S))
