"""From where a WebSocket may be opened: a browser lets any page open one anywhere, with the client certificate it has.

So the server must look (SEC-05). Programs send no Origin, or one that they had to name.
"""

from typing import Final
from urllib.parse import urlsplit

from knarr.base.errors import Forbidden
from knarr.wire import http

SCHEMES: Final = ("http", "https", "ws", "wss")
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def check(request: http.Request) -> None:
    """Raises Forbidden for a page of somewhere else."""
    origin = request.header("origin")
    if origin and not is_own(origin, request.header("host")):
        raise Forbidden(f"the origin {origin!r} may not open streams")


def is_own(origin: str, host: str) -> bool:
    """Whether a stream may be opened from there: by this server's pages, or by what runs on this machine.

    Programs must name an origin too, and name localhost: upstream's own client for WebSockets does. Pure.
    """
    try:
        where = urlsplit(origin)
        return where.netloc.lower() == host.lower() or (where.scheme in SCHEMES and where.hostname in LOOPBACK)
    except ValueError:
        return False
