"""Unguessable ids from the system's random numbers, which are read in blocks.

One read from the system takes 5 to 10 us on a virtual machine; a publish needs two ids, a connect four. This is
safe with threads and after a fork: no bytes are used twice.
"""

from __future__ import annotations

import os
import threading
from base64 import urlsafe_b64encode

_POOL_BYTES = 4096


class _Pool:
    def __init__(self) -> None:
        self.empty()

    def empty(self) -> None:
        """Drop the bytes and the lock: after a fork, the lock may belong to a thread of the parent."""
        self._lock = threading.Lock()
        self._bytes = b""
        self._at = 0

    def draw(self, size: int) -> bytes:
        with self._lock:
            end = self._at + size
            if end > len(self._bytes):
                self._bytes = os.urandom(_POOL_BYTES)
                self._at, end = 0, size
            drawn = self._bytes[self._at : end]
            self._at = end
            return drawn


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.empty)


def new_hex(size: int) -> str:
    """Return `size` random bytes as lower-case hexadecimal digits."""
    return _pool.draw(size).hex()


def new_id(size: int) -> str:
    """Return `size` random bytes as text that is safe in URLs and Redis keys, 4 characters for 3 bytes."""
    return urlsafe_b64encode(_pool.draw(size)).decode().rstrip("=")
