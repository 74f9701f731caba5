"""The keys of gateway processes in Redis. They belong to no tenant.

rt:node:<name>           string  the announcement of a process, JSON
rt:node:index            zset    names of processes -> Unix time in seconds of their last announcement
rt:node:key:<period>     string  the key with which processes sign requests that they forward
"""

from __future__ import annotations

from typing import Final

KEY: Final = "rt:node:"
# No process has the name "index".
INDEX: Final = KEY + "index"
SIGNING_KEY: Final = KEY + "key:"
