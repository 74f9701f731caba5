"""The Socket.IO layer: connects, events and answers of clients."""
