"""What the publisher's tests share."""

from hypothesis import settings

from tests.publisher.senders import senders
from tests.support.network import redis_proxy

__all__ = ["redis_proxy", "senders"]

# A test may be stopped for a second by a machine that does something else; that is no failure.
settings.register_profile("bounded", deadline=None, max_examples=60)
settings.load_profile("bounded")
