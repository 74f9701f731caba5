"""The kernel's share of a connection: bounded while it lives, and given back when it is cut.

A connection that is closed while its peer does not read keeps what was sent, up to `tcp_wmem` (4 MB), for as long
as the peer's kernel answers that it has no room: for ever, and seen by no limit and no metric of ours. So the
send buffer is bounded, a peer that is cut is reset, and after a polite close it has to take what was sent in time.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Iterable
from typing import Final

from aiohttp import web

# What the kernel holds of a connection, besides our own buffer: it takes twice this, which is its bookkeeping. A
# client that is 300 ms away still gets 400 KB a second. A fan-out writes small frames and costs what it did.
SEND_BUFFER_BYTES: Final = 1 << 16
# An answer of this size may wait in the kernel for a peer that is gone: a page or two.
SMALL_BYTES: Final = 4096

_RESET: Final = struct.pack("ii", 1, 0)
_TCP: Final = (socket.AF_INET, socket.AF_INET6)
# In milliseconds; it counts while the peer has no room from Linux 5.11 on.
_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)


def bound(sites: Iterable[web.BaseSite], patience_s: float) -> None:
    """Bound what the kernel keeps of every connection that a site accepts, which inherits it from the listener.

    `patience_s`: a peer that takes nothing of what waits for so long is given up by the kernel itself.
    """
    for site in sites:
        for listener in getattr(site._server, "sockets", ()):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if listener.family in _TCP and _USER_TIMEOUT is not None:
                listener.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, round(patience_s * 1000))


def reset(transport: asyncio.WriteTransport) -> None:
    """Drop a connection at once, with all that its peer has not taken, here and in the kernel."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def end(transport: asyncio.WriteTransport) -> None:
    """Close our side behind what was sent; it is up to the peer to close its own."""
    if transport.is_closing():
        return
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()


def untaken_bytes(transport: asyncio.BaseTransport) -> int:
    """Return how much of what the kernel was given the peer has not acknowledged."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return 0
    try:
        found = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int(struct.unpack("i", found)[0])
