"""The check of processes that serve TLS."""

from __future__ import annotations

import asyncio
import ssl

from gateway.peers.registry import Peer


class Tls:
    """The system's authorities, read once, and in a thread: that takes 30 ms, which the loop does not have."""

    def __init__(self) -> None:
        self._made: asyncio.Future[ssl.SSLContext] | None = None

    async def context(self, peer: Peer) -> ssl.SSLContext | None:
        """Return what a process is checked with, None where the way to it has no TLS."""
        if peer.socket or not peer.url.startswith("https:"):
            return None
        if self._made is None:
            self._made = asyncio.get_running_loop().run_in_executor(None, ssl.create_default_context)
        return await asyncio.shield(self._made)
