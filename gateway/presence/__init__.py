"""Presence: who is online, who looks at a conversation, who types. The rules are Lua, in this folder."""
