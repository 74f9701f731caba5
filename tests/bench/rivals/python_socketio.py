"""python-socketio on aiohttp with its Redis manager, as its documentation shows it.

With the argument `uvloop` on that loop, otherwise on asyncio's own.
"""

import os
import sys
from typing import Any

import jwt
import socketio
import uvloop
from aiohttp import web

SECRET = os.environ["JWT_SECRET_KEY"]

manager = socketio.AsyncRedisManager(os.environ["REDIS_URL"])
sio = socketio.AsyncServer(async_mode="aiohttp", client_manager=manager, cors_allowed_origins="*")
app = web.Application()
sio.attach(app)


@sio.event  # type: ignore[untyped-decorator]
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any] | None) -> bool:
    try:
        claims = jwt.decode((auth or {}).get("token", ""), SECRET, algorithms=["HS256"])
    except jwt.PyJWTError:
        return False
    await sio.save_session(sid, {"user_id": claims["sub"]})
    await sio.emit("connected", {"user_id": claims["sub"]}, to=sid)
    return True


@sio.event  # type: ignore[untyped-decorator]
async def join_conversation(sid: str, data: dict[str, Any]) -> None:
    await sio.enter_room(sid, "conversation:" + data["conversation_id"])
    await sio.emit("joined_conversation", {"conversation_id": data["conversation_id"]}, to=sid)


if __name__ == "__main__":
    loop = uvloop.new_event_loop() if "uvloop" in sys.argv else None
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), loop=loop, print=None, access_log=None)
