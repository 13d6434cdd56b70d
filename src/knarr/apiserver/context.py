"""What one request carries through the pipeline: the route, the caller, the options, and the server it runs in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from knarr.apiserver.resources import Resource
from knarr.apiserver.routes import Route
from knarr.base.errors import BadRequest
from knarr.wire import http, parameters

if TYPE_CHECKING:
    from knarr.apiserver.server import ApiServer

Json = dict[str, Any]
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
PARAMETERS_MAX = 10_000
"""Parameters of one query: `exec` has one for each word of its command."""


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated caller; `extra` holds e.g. the pod that a ServiceAccount token is bound to."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __hash__(self) -> int:
        # Every request looks its user up; users of one name, such as the pods of a ServiceAccount, differ in this.
        return hash((self.name, self.extra.get(CREDENTIAL_ID)))


@dataclass(slots=True)
class RequestContext:
    """`warnings` become Warning headers; `releases` let go of what the running write holds (addresses, quota)."""

    server: "ApiServer"
    request: http.Request
    route: Route
    query: Mapping[str, str]
    user: User
    impersonator: User | None = None
    warnings: list[str] = field(default_factory=list)
    releases: list[Callable[[], object]] = field(default_factory=list)
    media: str = ""
    """The body's media type, once somebody has asked for it (bodies.py)."""
    duplicates: tuple[str, ...] = ()
    """Fields that the body has twice, until they are told together with the unknown ones."""
    resource: Resource = field(init=False, repr=False)
    """The route's; absent for a path that is no resource."""

    def __post_init__(self) -> None:
        if self.route.resource is not None:
            self.resource = self.route.resource
            if self.resource.deprecation and self.resource.deprecation not in self.warnings:
                self.warnings.append(self.resource.deprecation)

    @property
    def key(self) -> str:
        return self.route.key

    @property
    def is_dry_run(self) -> bool:
        return self.query.get("dryRun") == "All"

    @property
    def field_manager(self) -> str:
        """fieldManager, else the User-Agent up to its first slash, as upstream."""
        return self.query.get("fieldManager", "") or self.request.header("user-agent").partition("/")[0] or "unknown"

    def is_asked(self, name: str) -> bool:
        """Whether a parameter is there and not false: as upstream's decoder reads it, `?watch` asks for a watch."""
        return parameters.is_true(self.query.get(name))


def integer(name: str, value: str) -> int | None:
    """A decimal integer parameter; None when it is absent."""
    if not value:
        return None
    if not (value.isascii() and value.removeprefix("-").isdigit() and len(value) < 19):
        raise BadRequest(f'{name}: Invalid value: "{value}": must be an integer')
    return int(value)


@lru_cache(512)
def parsed_query(query: str) -> Mapping[str, str]:
    """The query's parameters, the first value of each; shared, so never changed. Raises BadRequest."""
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError as error:
        raise BadRequest(f"the query has more than {PARAMETERS_MAX} parameters") from error
    for key, value in pairs:
        found.setdefault(key, value)
    return found
