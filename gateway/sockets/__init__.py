"""The Socket.IO layer: who connects, what they ask, what they get."""
