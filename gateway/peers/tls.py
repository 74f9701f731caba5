"""TLS to other processes."""

from __future__ import annotations

import asyncio
import ssl

from gateway.peers.registry import Peer


class Tls:
    """The system's certificate authorities, read once, in a thread because that takes 30 ms."""

    def __init__(self) -> None:
        self._made: asyncio.Future[ssl.SSLContext] | None = None

    async def context(self, peer: Peer) -> ssl.SSLContext | None:
        """Return the TLS context for connections to a process; None if they have no TLS."""
        if peer.socket or not peer.url.startswith("https:"):
            return None
        if self._made is None:
            self._made = asyncio.get_running_loop().run_in_executor(None, ssl.create_default_context)
        return await asyncio.shield(self._made)
