"""Server-side apply: the applied object merged into the live one by field owners (objects/apply.py)."""

from typing import Final

from knarr.apiserver.context import RequestContext
from knarr.base.errors import Unimplemented
from knarr.wire import http

MEDIA_TYPE: Final = "application/apply-patch+yaml"


async def apply(context: RequestContext, subresource: str = "") -> http.Response:
    raise Unimplemented("server-side apply is not offered yet")
