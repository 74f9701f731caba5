"""Presence: users online, viewers of conversations, and typing. The rules are Lua, in this folder."""
