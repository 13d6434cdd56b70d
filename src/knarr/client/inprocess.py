"""The transport inside the process: requests go to a handler as a given user, without a socket.

The handler is the API server's pipeline (`handle_as`); this package lies below it, so it takes a plain callable.
"""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from knarr.wire import http

User = TypeVar("User")


class InProcessTransport(Generic[User]):
    """client.requests.Transport over `handler(request, user)`."""

    def __init__(self, handler: Callable[[http.Request, User], Awaitable[http.Response]], user: User) -> None:
        self._handler = handler
        self._user = user

    async def send(self, request: http.Request) -> http.Response:
        return await self._handler(request, self._user)
