"""`gateway dev`: a gateway and a Redis on one machine, with tokens and commands to copy."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import sys
from contextlib import ExitStack

import click
from aiohttp import web
from pydantic import SecretStr

from gateway import log, settings
from gateway.app.process import run
from gateway.app.replica import Gateway
from gateway.auth.minting import mint
from gateway.cli.reach import instead
from gateway.console import Console
from gateway.console.demo_data import ALICE, BRUNO, CONVERSATION, ORGANIZATION
from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.errors import PortTaken, StartError

DAY_S = 86_400
CONSOLE = "/console"


def run_dev(port: int, redis_url: str | None) -> None:
    """Run a gateway with an embedded Redis and a console until Ctrl-C."""
    with ExitStack() as stack:
        if redis_url is None:
            redis_url = stack.enter_context(EmbeddedRedis(ends_with_parent=True)).url
        configuration = settings.load(
            host="127.0.0.1",
            port=port,
            **instead(redis_url),
            jwt_secret_key=secrets.token_urlsafe(48),
            shutdown_grace_s=1.0,
        )
        # The console needs an API key, as elsewhere. Its page gets this one without asking the user.
        key = secrets.token_urlsafe(24)
        configuration = configuration.model_copy(
            update={"api_keys": (*configuration.api_keys, SecretStr(key)), "console_tokens": True}
        )
        log.configure(configuration.log_level, configuration.log_format)
        tokens = {
            name: mint(configuration, user, ORGANIZATION, role="agent", ttl_s=DAY_S)
            for name, user in (("alice", ALICE), ("bruno", BRUNO))
        }

        def routes(app: web.Application, gateway: Gateway) -> None:
            app.router.add_get("/", _to_console)
            Console(gateway, open_with=key).attach(app)

        def started(gateway: Gateway) -> None:
            _announce(gateway, str(redis_url), tokens)

        try:
            run(configuration, any_origin=True, started=started, hangup_ends=True, routes=routes)
        except PortTaken as error:
            raise StartError(f"{error}; use another port: gateway dev --port {port + 1}") from None


async def _to_console(request: web.Request) -> web.Response:
    raise web.HTTPFound(CONSOLE)


def _announce(gateway: Gateway, redis_url: str, tokens: dict[str, str]) -> None:
    command = "gateway" if shutil.which("gateway") else os.path.relpath(sys.argv[0])
    publish = [command, "publish", "--redis-url", redis_url, "--org", ORGANIZATION]
    publish += ["--conversation", CONVERSATION, "--text", "Olá!"]
    url = gateway.url
    click.echo(
        f"""
The gateway is at {url} (Socket.IO path /socket.io), Redis at {redis_url}

Open {url}{CONSOLE} in a browser: two agents who chat, charts, tools

  organization  {ORGANIZATION}
  conversation  {CONVERSATION}

  Alice's token
    {tokens["alice"]}
  Bruno's token
    {tokens["bruno"]}

With socket.io-client:

  const socket = io("{url}", {{ auth: {{ token: "<a token from above>" }} }});
  socket.on("message:new", (message) => console.log(message.content.text));
  socket.emit("join_conversation", {{ conversation_id: "{CONVERSATION}" }});

In another terminal:

  export REDIS_URL={redis_url}    # for gateway top, tail and publish
  {shlex.join(publish)}

Ctrl-C ends it.
"""
    )
