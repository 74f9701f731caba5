"""TLS of the listener, for `wss://` without a proxy: TLS 1.2 or newer, with a certificate that can be renewed.

In every handshake, the callback for server names selects the context that was loaded last. A new certificate is
not loaded into the listening context: OpenSSL keeps one for each kind of key, so after a change from RSA to EC it
might still use the old one. And a key that does not match would leave nothing that works.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from aiohttp import web

from gateway.settings import ConfigurationError

# A peer that does not answer TLS' close is disconnected after this time, as with a websocket's close.
SHUTDOWN_TIMEOUT_S = 2.0


class Certificate:
    """The certificate and its key from their files; raises `ConfigurationError` if they are invalid."""

    def __init__(self, cert: Path, key: Path) -> None:
        self._files = cert, key
        self.context = self._current = load(cert, key)
        self.context.sni_callback = self._present

    def reload(self) -> None:
        """Load the files again, for new connections; if that raises, the old certificate stays in use."""
        self._current = load(*self._files)

    def _present(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._current


def load(cert: Path, key: Path) -> ssl.SSLContext:
    """Return a server's TLS context; raise `ConfigurationError`, which names the wrong setting."""
    for name, path in (("GATEWAY_TLS_CERT", cert), ("GATEWAY_TLS_KEY", key)):
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise ConfigurationError(f"{name}: {path} can't be read: {error.strerror or error}") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a password, OpenSSL would ask for an encrypted key's on the terminal, and wait.
        context.load_cert_chain(cert, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(_reason(error)) from None
    return context


def _reason(error: Exception) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return "GATEWAY_TLS_KEY: it is not the key of the certificate in GATEWAY_TLS_CERT"
    what = "a PEM file with a certificate, and a PEM file with its key, not encrypted"
    return f"GATEWAY_TLS_CERT, GATEWAY_TLS_KEY: not {what} ({error})"


class TlsSite(web.BaseSite):
    """A TLS port with a time limit for handshakes, which is a minute with aiohttp's own."""

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        context: ssl.SSLContext,
        handshake_timeout_s: float,
        backlog: int,
    ) -> None:
        super().__init__(runner, ssl_context=context, backlog=backlog)
        self._address = host, port
        self._handshake_timeout_s = handshake_timeout_s

    @property
    def name(self) -> str:
        """Return the URL of the port, as aiohttp requires."""
        return "https://{}:{}".format(*self._address)

    async def start(self) -> None:
        """Start to listen; raises `OSError`."""
        await super().start()
        assert self._runner.server is not None
        self._server = await asyncio.get_running_loop().create_server(
            self._runner.server,
            *self._address,
            ssl=self._ssl_context,
            ssl_handshake_timeout=self._handshake_timeout_s,
            ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            backlog=self._backlog,
            reuse_address=True,
        )
