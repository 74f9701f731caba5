"""Access: who may join which room, within their own organization.

That nobody gets at another organization's rooms is not decided here: a room's name is looked up among those of
the socket's own tenant, so there is no name for another one's. One `port`, and what stands behind it: `Everyone`
of the tenant, some `roles` for some kinds of room, or the `backend`, which is asked.
"""

from gateway.access.backend import Backend, access_values, backend_of
from gateway.access.port import EVERYONE, Access, Everyone
from gateway.access.roles import Roles
from gateway.settings import Settings


def access_of(settings: Settings, backend: Backend | None) -> Access:
    """Return what decides, as configured: a role that is not enough is not asked about, both have to allow."""
    access: Access = EVERYONE if backend is None else backend
    return Roles(settings.room_roles, access) if settings.room_roles else access


__all__ = ["EVERYONE", "Access", "Backend", "Everyone", "Roles", "access_of", "access_values", "backend_of"]
