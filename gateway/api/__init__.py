"""The HTTP API: the publisher's verbs and queries of rooms and users, for programs in other languages.

Off until `GATEWAY_API_KEYS` names a key. A key may do everything, for every organization.
"""

from gateway.api.server import Api

__all__ = ["Api"]
