"""The console: a page at `/console` to try, watch and use the gateway.

`gateway dev` serves it on this machine without asking for a key. `gateway serve` serves it if there are API keys,
and the user needs one. The page is built from `web/` into `dist/`, which is part of the wheel.
"""

from gateway.console.routes import Console, attach_where_there_are_keys

__all__ = ["Console", "attach_where_there_are_keys"]
