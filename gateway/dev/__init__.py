"""Tools for developers and builds. A replica never imports them."""
