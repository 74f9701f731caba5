"""A lean Engine.IO v4 server for aiohttp, under python-socketio."""

from gateway.engine.deflate import Compression
from gateway.engine.errors import CloseCode, CloseReason, ProtocolViolation
from gateway.engine.options import EngineOptions
from gateway.engine.server import EngineServer
from gateway.engine.socket import EngineSocket
from gateway.engine.stats import EngineStats

__all__ = [
    "CloseCode",
    "CloseReason",
    "Compression",
    "EngineOptions",
    "EngineServer",
    "EngineSocket",
    "EngineStats",
    "ProtocolViolation",
]
