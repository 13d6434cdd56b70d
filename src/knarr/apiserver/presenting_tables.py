"""Tables in answers: hands objects to the column rules (tables.py) and wraps the result for lists and watches."""

from knarr.apiserver.context import RequestContext
from knarr.apiserver.negotiation import Accepted
from knarr.apiserver.resources import Json
from knarr.base.errors import Unimplemented


class Tables:
    def encode(
        self,
        context: RequestContext,
        form: Accepted,
        objects: list[Json],
        metadata: Json,
        *,
        bookmark: Json | None = None,
    ) -> bytes:
        raise Unimplemented("tables are not offered yet")
