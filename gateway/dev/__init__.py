"""What developers and builds use. A replica never imports it."""
