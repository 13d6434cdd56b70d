"""Which resource a user's word for a kind means: deployment, deploy, deployments.apps, or a custom resource's name.

Built-in kinds come from the table; for others the cluster's discovery is asked, group by group.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from knarr.cli import printing
from knarr.cli.api_reading import Api, quoted
from knarr.cli.printing import Failure
from knarr.kinds import registry


@dataclass(frozen=True, slots=True)
class Resource:
    """`words` are all that users may call it, in lower case."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    is_namespaced: bool
    words: frozenset[str]

    def path(self, namespace: str, name: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{quoted(namespace)}" if namespace and self.is_namespaced else ""
        return f"{root}{place}/{self.plural}" + (f"/{quoted(name)}" if name else "")


def called(word: str, api: Api) -> Resource:
    """The resource that the word means. Raises Failure if there is none."""
    wanted = word.lower()
    found = next((each for each in _builtin() if wanted in each.words), None)
    found = found or next((each for each in _served(api) if wanted in each.words), None)
    if found is None:
        raise Failure(f"there is no kind {word!r}", "", "kubectl api-resources lists kinds", printing.EXIT_USAGE)
    return found


def of_kind(kind: str) -> Resource:
    """The built-in resource of that kind that can be listed."""
    return next(each for each in _builtin() if each.kind == kind)


def _builtin() -> Iterator[Resource]:
    for row in registry.builtin():
        if {"get", "list"} <= set(row.verbs):
            yield _resource(
                (row.group, row.version, row.kind), row.plural, row.singular, row.short_names, row.is_namespaced
            )


def _served(api: Api) -> Iterator[Resource]:
    """Resources of the groups that the cluster serves, in the versions it prefers."""
    for group in (api.get("/apis") or {}).get("groups") or ():
        place = group["preferredVersion"]["groupVersion"]
        name, version = place.split("/")
        for row in (api.get(f"/apis/{place}") or {}).get("resources") or ():
            if "/" not in row["name"] and "list" in row["verbs"]:
                yield _resource(
                    (name, version, row["kind"]),
                    row["name"],
                    row["singularName"],
                    row.get("shortNames", ()),
                    row["namespaced"],
                )


def _resource(
    gvk: tuple[str, str, str], plural: str, singular: str, short_names: tuple[str, ...], is_namespaced: bool
) -> Resource:
    group, version, kind = gvk
    full = {f"{plural}.{group}", f"{singular}.{group}", f"{plural}.{version}.{group}"}
    words = frozenset({kind.lower(), plural, singular, *short_names, *full})
    return Resource(group, version, kind, plural, singular or kind.lower(), is_namespaced, words)
