"""HttpTransport: API requests over TCP and TLS, by wire/http_client.py.

Adds the credentials of one user (a client certificate in the TLS context, or a bearer token). A streamed answer that
stays silent for longer than SILENCE_SECONDS ends with Unavailable: the server sends bookmarks in between, so silence
means that nobody is there. Not here: what the requests say (client/requests.py).
"""

from collections.abc import AsyncIterator
from typing import Final

from knarr.base import tasks
from knarr.wire import http, http_client

SILENCE_SECONDS: Final = 180.0
"""Three times the minute between bookmarks."""


class HttpTransport:
    """Transport to one server; `client` may be shared with others."""

    def __init__(
        self, target: http_client.Target, *, token: str = "", client: http_client.Client | None = None
    ) -> None:
        self._target = target
        self._client = client or http_client.Client()
        self._credentials: http.Headers = (("authorization", f"Bearer {token}"),) if token else ()

    async def send(self, request: http.Request) -> http.Response:
        if self._credentials:
            request.headers = (*request.headers, *self._credentials)
        response = await self._client.request(self._target, request)
        return http.Response(response.status, response.headers, _chunks(response))

    async def close(self) -> None:
        """Drop the connections."""
        await self._client.close()


async def _chunks(response: http_client.ClientResponse) -> AsyncIterator[bytes]:
    chunks = response.chunks()
    try:
        while True:
            try:
                yield await tasks.deadline(anext(chunks), SILENCE_SECONDS, "the API server")
            except StopAsyncIteration:
                return
    finally:
        response.close()
