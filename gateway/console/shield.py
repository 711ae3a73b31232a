"""Around everything the console answers: under our own names only, with a content policy, and kept in no cache."""

import base64
import hashlib
import ipaddress
import re

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection
from starlette.websockets import WebSocket

from gateway.config import ConsoleConfig

OUR_NAMES = ("127.0.0.1", "localhost", "[::1]")  # under any other name it is a foreign page whose name was bent to this machine
HSTS = {"strict-transport-security": "max-age=31536000"}  # a year without plain http (RFC 6797, 6.1.1), once it was https


def own_names(console: ConsoleConfig) -> tuple[str, ...]:
    """Under which names browsers come, beside those of this machine: those of `console.names`, and the one that is listened at."""
    host = console.listen.rpartition(":")[0]
    return (*console.names, *([host] if host not in ("", "0.0.0.0", "[::]") else []))


def _literal(scope: Connection) -> str:
    """The address at which this connection came in: a foreign page whose name was bent to this machine has a name there, never an address."""
    server = scope.get("server")
    try:
        host = ipaddress.ip_address(str(server[0])) if server else None
    except ValueError:
        host = None
    return "" if host is None else f"[{host}]" if host.version == 6 else str(host)


class Shield:
    """Around everything: our own names only, the content policy, nothing kept in caches."""

    def __init__(self, app: ASGIApp, policy: str, names: tuple[str, ...]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)
        self._headers = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
        }

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        host = re.sub(r":\d+$", "", HTTPConnection(scope).headers.get("host", "")).lower()
        if host not in self._names and host != _literal(scope):
            if scope["type"] == "websocket":
                await WebSocket(scope, receive, send).close(4403)
            else:
                await Response(b'{"reason":"host"}', 403, media_type="application/json")(scope, receive, send)
            return
        headers = {**self._headers, **(HSTS if scope["scheme"] in ("https", "wss") else {})}
        caching = "no-cache" if scope["path"].startswith("/static/") else "no-store"

        async def send_shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                ours = {**headers, "cache-control": caching}
                message["headers"] = [*message["headers"], *((n.encode(), v.encode()) for n, v in ours.items() if n.encode() not in present)]
            await send(message)

        await self._app(scope, receive, send_shielded)


IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)


def content_policy(page: str) -> str:
    """The Content-Security-Policy (console design, 8). The import map is the only inline script, allowed by its hash."""
    found = IMPORT_MAP.search(page)
    inline = ""
    if found is not None:
        digest = hashlib.sha256(found[1].encode()).digest()
        inline = f" 'sha256-{base64.b64encode(digest).decode()}'"
    return (
        f"default-src 'none'; script-src 'self'{inline}; style-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self'; "
        "font-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
