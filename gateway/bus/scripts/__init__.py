"""The Lua scripts of the gateway; those of the publisher live with it."""
