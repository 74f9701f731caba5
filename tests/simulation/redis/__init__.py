"""A Redis in Python, for the simulation: the commands that gateway and publisher use, and their real Lua.

    server.py                RedisServer: one standalone server, and its troubles
    connection.py            one client's connection, an `asyncio.Protocol`
    connection_commands.py   commands on connections, scripts and subscriptions
    scripting.py             Lua scripts; what they find beside the language is in prelude.lua
    keyspace.py              keys, types and expiry; sorted_sets.py and streams.py are two of the types
    commands.py              commands on keys, strings and hashes, and the table of all commands on data
    journal.py               the last writes, so that a restart or a failover can lose some
    replies.py               replies in RESP2 and RESP3, and the texts of errors

`test_differential.py` holds it to a real Valkey. Differences that are left on purpose: a command has only the
options that we use; the order of a hash's fields is that of their first writing, whatever its size; a score of -0
is 0; a script can change the tables of Lua's own library; SCAN returns everything at once.
"""
