"""What the tests of rooms share: connections to a real server, with the network in between."""

from tests.redis.conftest import commands, limits, redis_proxy, source

__all__ = ["commands", "limits", "redis_proxy", "source"]
