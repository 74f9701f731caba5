"""Fixtures for the deployment's tests."""

from tests.deploy.nginx import make_nginx, proxies
from tests.deploy.upstream import upstreams

__all__ = ["make_nginx", "proxies", "upstreams"]
