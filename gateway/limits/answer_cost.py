"""The cost of an answer, in tokens of the rate of the socket that asks.

The rate counts what a client sends, and a question for 500 events of history is as short as a `ping`. So the cost
of the answer is taken from the rate afterwards.
"""

from __future__ import annotations

from typing import Final

# Tokens of `GATEWAY_EVENTS_PER_S`, by the time for the work here and in Redis. A `ping` is one token. An event
# that is read and written into an answer is half a token, 16 KiB are one token, and a user's name is a fiftieth.
_AN_EVENT: Final = 1 / 2
_A_NAME: Final = 1 / 50
_A_BYTE: Final = 1 / (1 << 14)


def cost(*, events: int = 0, names: int = 0, size: int = 0) -> float:
    """Return the tokens for an answer with one read from Redis, in addition to the question's own token."""
    return 1 + events * _AN_EVENT + names * _A_NAME + size * _A_BYTE
