"""Access: which users may join which rooms of their own organization.

Rooms of other organizations need no check here: names of rooms are always looked up in the socket's own tenant.
`port` is the interface. Its implementations are `Everyone` of the tenant, `Roles` for some kinds of rooms, and
`Authorizer`, which asks over HTTP.
"""

from gateway.access.authorizer import Authorizer, access_values, authorizer_of
from gateway.access.port import EVERYONE, Access, Everyone
from gateway.access.roles import Roles
from gateway.settings import Settings


def access_of(settings: Settings, authorizer: Authorizer | None) -> Access:
    """Return the configured access; with roles and an authorizer, both must allow; roles come first."""
    access: Access = EVERYONE if authorizer is None else authorizer
    return Roles(settings.room_roles, access) if settings.room_roles else access


__all__ = ["EVERYONE", "Access", "Authorizer", "Everyone", "Roles", "access_of", "access_values", "authorizer_of"]
