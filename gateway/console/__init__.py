"""The console: a page for people, at `/console`, on which they try the gateway, watch it and use it.

`gateway dev` serves it openly on this machine; `gateway serve` where there are API keys, to whoever has one. The
page itself is built from `web/` into `dist/`, which ships in the wheel.
"""

from gateway.console.routes import Console, attach_where_there_are_keys

__all__ = ["Console", "attach_where_there_are_keys"]
