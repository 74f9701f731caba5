"""The built files of the page: read once, and served from memory."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

DIST = Path(__file__).with_name("dist")
INDEX = "index.html"
PACKED = ".gz"
# For files whose name contains a hash of their content.
FOR_EVER = "public, max-age=31536000, immutable"
EACH_TIME = "no-cache"

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>The console is not built</title>
<h1>The console is not built</h1>
<p>This installation lacks the built files of the console; everything else works without them. In a checkout, run
<code>make run</code> or <code>make console</code>, then load this page again. Without a checkout, install a wheel
that was made with <code>make wheel</code>.</p>
</html>
"""


class File(NamedTuple):
    """A file, plain and compressed."""

    body: bytes
    packed: bytes | None
    content_type: str
    etag: str
    cached: str


class Shell:
    """The built files. While there are none, each request looks for them again."""

    def __init__(self, folder: Path = DIST) -> None:
        self._folder = folder
        self._files = _read(folder)

    def answer(self, request: web.Request, name: str) -> web.Response:
        """Return the file with this name in the folder; 404 without it, 503 if the page is not built."""
        self._files = self._files or _read(self._folder)
        headers = {**_HEADERS, "Content-Security-Policy": policy(request.headers.get("Host", ""))}
        if not self._files:
            return web.Response(text=_NOT_BUILT, status=503, content_type="text/html", headers=headers)
        file = self._files.get(name)
        if file is None:
            return web.Response(text="not found", status=404, headers={**headers, "Cache-Control": EACH_TIME})
        headers |= {"Cache-Control": file.cached, "ETag": file.etag, "Vary": "Accept-Encoding"}
        if request.headers.get("If-None-Match") == file.etag:
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = file.content_type
        if file.packed is None or "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=file.body, headers=headers)
        return web.Response(body=file.packed, headers={**headers, "Content-Encoding": "gzip"})


def policy(host: str) -> str:
    """Return the Content-Security-Policy; for some browsers `'self'` does not include a websocket to the host."""
    own = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    allowed = {**_POLICY, "connect-src": _POLICY["connect-src"] + own}
    return "; ".join(f"{what} {sources}" for what, sources in allowed.items())


def _read(folder: Path) -> dict[str, File]:
    if not (folder / INDEX).is_file():
        return {}
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    return {
        name: File(
            body,
            found.get(name + PACKED),
            _type(name),
            f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            FOR_EVER if name.startswith("assets/") else EACH_TIME,
        )
        for name, body in found.items()
        if not name.endswith(PACKED)
    }


def _type(name: str) -> str:
    suffix = Path(name).suffix
    kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
