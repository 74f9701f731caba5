"""The realtime gateway: Socket.IO for browsers, Redis behind it."""
