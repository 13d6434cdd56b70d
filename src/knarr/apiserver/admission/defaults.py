"""The default among classes: the newest one that an annotation marks, by name among equals, as upstream."""

from collections.abc import Sequence

import msgspec

from knarr.apiserver.resources import Json
from knarr.store.store import Store


def chosen(store: Store, prefix: str, annotations: Sequence[str]) -> Json | None:
    """The default class under the prefix; None when none is marked."""
    found: list[Json] = []
    for entry in store.list(prefix).entries:
        if b"is-default-class" in entry.value:
            one: Json = msgspec.json.decode(entry.value)
            held = one["metadata"].get("annotations") or {}
            if any(held.get(name) == "true" for name in annotations):
                found.append(one)
    found.sort(key=lambda one: str(one["metadata"]["name"]))
    return max(found, key=lambda one: str(one["metadata"].get("creationTimestamp", "")), default=None)
