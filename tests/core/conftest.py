"""What the core's tests share."""

from hypothesis import settings

settings.register_profile("bounded", deadline=None, max_examples=100)
settings.load_profile("bounded")
