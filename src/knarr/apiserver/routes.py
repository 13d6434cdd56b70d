"""Routes: from method, path and query to what is asked of which resource. Pure.

`/api/v1/namespaces/NS/pods/NAME/status`, `/apis/GROUP/VERSION/…` and everything else (a `nonresource` path).
Verbs are those of authorisation: get list watch create update patch delete deletecollection. Spec: API Concepts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from knarr.apiserver.resources import Resource, Resources
from knarr.wire import parameters

_VERB_OF_NAMED: Final = {
    "GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete",
}  # fmt: skip
_VERB_OF_COLLECTION: Final = {
    "GET": "list", "HEAD": "list", "POST": "create", "DELETE": "deletecollection",
}  # fmt: skip
_NAMED_VERBS: Final = frozenset(("get", "update", "patch", "delete"))


@dataclass(frozen=True, slots=True)
class Route:
    """What one request names. `resource` None: a path that is no resource, verb is then the method in lower case.

    `suffix` is what follows a proxy subresource. `verb` "" means that the method is not offered there."""

    verb: str
    resource: Resource | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    suffix: str = ""
    is_offered: bool = field(init=False, repr=False, compare=False)
    """Whether the path has the verb: a POST to eviction is none by GET, and nothing is created below a name."""
    is_connected: bool = field(init=False, repr=False, compare=False)
    """Whether the query is for who is connected to, as an application behind a proxy: it holds no options of ours."""
    key: str = field(init=False, repr=False, compare=False)
    """The key in the store; "" for a path that is no resource."""

    def __post_init__(self) -> None:
        key = self.resource.key(self.namespace, self.name) if self.resource is not None else ""
        object.__setattr__(self, "key", key)
        found = self.resource.kind.subresources.get(self.subresource) if self.resource is not None else None
        object.__setattr__(self, "is_offered", _is_offered(self))
        object.__setattr__(self, "is_connected", found is not None and bool(found.facts.get("connect")))


def _is_offered(route: Route) -> bool:
    if route.resource is None:
        return True
    verb, kind = route.verb, route.resource.kind
    if route.subresource:
        return verb in kind.subresources[route.subresource].verbs
    if route.name:
        return verb != "create" and verb in kind.verbs
    return verb in (kind.verbs if route.namespace or not kind.is_namespaced else ("list", "watch"))


@dataclass(frozen=True, slots=True)
class Unknown:
    """No such group, version or resource is served."""


MATCHED_MAX: Final = 4096
MATCHED_PATH_MAX: Final = 512


def match(resources: Resources, method: str, path: str, query: Mapping[str, str]) -> Route | Unknown:
    """The route of a request. Clients ask for the same few paths again and again, so answers are kept."""
    key = (method, path, _asks_watch(query))
    found: Route | Unknown | None = resources.matched.get(key)
    if found is None:
        found = _match(resources, method, path, query)
        if len(resources.matched) >= MATCHED_MAX:
            resources.matched.clear()
        if len(path) <= MATCHED_PATH_MAX:
            resources.matched[key] = found
    return found


def _match(resources: Resources, method: str, path: str, query: Mapping[str, str]) -> Route | Unknown:
    parts = path.split("/")
    if len(parts) > 3 and parts[1] == "api":
        group, version, rest = "", parts[2], parts[3:]
    elif len(parts) > 4 and parts[1] == "apis":
        group, version, rest = parts[2], parts[3], parts[4:]
    else:
        return Route(method.lower())
    if rest and rest[-1] == "" and len(rest) > 1 and "proxy" not in rest:
        rest = rest[:-1]
    if rest == [""]:
        return Route(method.lower())
    return _resource_route(resources, (group, version), rest, _Asked(method, query))


@dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    query: Mapping[str, str]


def _resource_route(resources: Resources, served: tuple[str, str], rest: list[str], asked: _Asked) -> Route | Unknown:
    group, version = served
    is_old_watch = rest[0] == "watch" and len(rest) > 1
    if is_old_watch:
        rest = rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and (group, version, rest[2]) in resources.by_path:
        resource = resources.by_path[group, version, rest[2]]
        namespace, rest = _text(rest[1]), rest[2:]
        if not resource.kind.is_namespaced:
            return Unknown()
    elif (found := resources.by_path.get((group, version, rest[0]))) is not None:
        resource = found
    else:
        return Unknown()
    if len(rest) == 1:
        return Route(_collection_verb(asked, is_old_watch), resource, namespace)
    name = _text(rest[1])
    if resource.kind.is_namespaced and not namespace:
        return Unknown()
    if resource.kind.plural == "namespaces" and not group:
        namespace = name
    if len(rest) == 2:
        if not _NAMED_VERBS.intersection(resource.kind.verbs):
            return Unknown()  # what is made for the answer alone has no names
        verb = "watch" if is_old_watch else _VERB_OF_NAMED.get(asked.method, "")
        return Route(verb, resource, namespace, name)
    subresource = resource.kind.subresources.get(rest[2])
    if subresource is None or (len(rest) > 3 and not subresource.facts.get("pathSuffix")):
        return Unknown()
    verb = _VERB_OF_NAMED.get(asked.method, "")
    return Route(verb, resource, namespace, name, rest[2], "/".join(rest[3:]))


def _collection_verb(asked: _Asked, is_old_watch: bool) -> str:
    verb = _VERB_OF_COLLECTION.get(asked.method, "")
    if verb == "list" and (is_old_watch or _asks_watch(asked.query)):
        return "watch"
    return verb


def _asks_watch(query: Mapping[str, str]) -> bool:
    return parameters.is_true(query.get("watch"))


def _text(part: str) -> str:
    return unquote(part) if "%" in part else part
