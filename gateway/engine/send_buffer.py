"""The kernel's send buffer of a connection: bounded, and released when the connection is cut.

When we close a connection whose peer does not read, the kernel keeps the unread bytes, up to `tcp_wmem` (4 MB), as
long as the peer's kernel reports no room: possibly for ever, outside all our limits and metrics. So the send
buffer is bounded, a peer that is cut is reset, and after a normal close the peer must read the rest in time.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Iterable
from typing import Final

from aiohttp import web

# Bytes that the kernel buffers for a connection, besides our own buffer; it doubles this for its bookkeeping. A
# client with a round trip of 300 ms still gets 400 KB a second.
SEND_BUFFER_BYTES: Final = 1 << 16
# Unread bytes of an answer that we leave in the kernel on close.
SMALL_BYTES: Final = 4096

_RESET: Final = struct.pack("ii", 1, 0)
_TCP: Final = (socket.AF_INET, socket.AF_INET6)
# In milliseconds. From Linux 5.11 on the time runs also while the peer's window is zero.
_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)


def bound(sites: Iterable[web.BaseSite], patience_s: float) -> None:
    """Set the kernel's limits on the listeners of the sites; accepted connections inherit them.

    After `patience_s` without an acknowledgement from the peer the kernel drops the connection.
    """
    for site in sites:
        for listener in getattr(site._server, "sockets", ()):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if listener.family in _TCP and _USER_TIMEOUT is not None:
                listener.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, round(patience_s * 1000))


def reset(transport: asyncio.WriteTransport) -> None:
    """Reset a connection at once; unread bytes are dropped here and in the kernel."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def end(transport: asyncio.WriteTransport) -> None:
    """Close our side after the bytes already sent; the peer must close its own side."""
    if transport.is_closing():
        return
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()


def untaken_bytes(transport: asyncio.BaseTransport) -> int:
    """Return the number of bytes in the kernel that the peer has not acknowledged."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return 0
    try:
        found = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int(struct.unpack("i", found)[0])
