"""`gateway dev`: everything on one machine, ready to paste."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import sys
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import click

from gateway import log, settings
from gateway.app import Gateway, run
from gateway.cli.tokens import mint
from gateway.embedded import EmbeddedRedis

DAY_S = 86_400
# The same at every start, so that a page that is open need not be told again.
ORGANIZATION = "00000000-0000-4000-8000-00000000000a"
ALICE = "00000000-0000-4000-8000-0000000000a1"
BRUNO = "00000000-0000-4000-8000-0000000000b2"
CONVERSATION = "00000000-0000-4000-8000-0000000000c3"


def run_dev(port: int, redis_url: str | None) -> None:
    """Run until Ctrl-C."""
    with ExitStack() as stack:
        if redis_url is None:
            redis_url = stack.enter_context(EmbeddedRedis()).url
        configuration = settings.load(
            host="127.0.0.1",
            port=port,
            redis_url=redis_url,
            jwt_secret_key=secrets.token_urlsafe(48),
            shutdown_grace_s=1.0,
        )
        log.configure(configuration.log_level, configuration.log_format)
        run(configuration, any_origin=True, started=lambda gateway: _announce(gateway, str(redis_url)))


def _announce(gateway: Gateway, redis_url: str) -> None:
    alice, bruno = (
        mint(gateway.settings, user, ORGANIZATION, role="agent", ttl_s=DAY_S) for user in (ALICE, BRUNO)
    )
    command = "gateway" if shutil.which("gateway") else os.path.relpath(sys.argv[0])
    publish = [command, "publish", "--redis-url", redis_url, "--org", ORGANIZATION]
    publish += ["--conversation", CONVERSATION, "--text", "Olá!"]
    click.echo(
        f"""
The gateway is at http://127.0.0.1:{gateway.port} (Socket.IO path /socket.io), Redis at {redis_url}

  organization  {ORGANIZATION}
  conversation  {CONVERSATION}

  Alice's token
    {alice}
  Bruno's token
    {bruno}

In a browser or Node, with socket.io-client:

  const socket = io("http://127.0.0.1:{gateway.port}", {{ auth: {{ token: "<a token from above>" }} }});
  socket.on("message:new", (message) => console.log(message.content.text));
  socket.emit("join_conversation", {{ conversation_id: "{CONVERSATION}" }});

Then, in another terminal:

  {shlex.join(publish)}

Ctrl-C ends it.
""",
        nl=True,
    )


def sample_message(conversation_id: str, text: str) -> dict[str, Any]:
    """Make up a message of a WhatsApp contact, in the shape that PyTake publishes."""
    return {
        "id": str(uuid.uuid4()),
        "conversation_id": conversation_id,
        "direction": "inbound",
        "sender_type": "contact",
        "message_type": "text",
        "content": {"text": text},
        "status": "received",
        "whatsapp_message_id": f"wamid.{secrets.token_hex(12)}",
        "created_at": datetime.now(UTC).isoformat(),
    }
