"""Random objects of a kind and objects near them, drawn along its Schema from a small vocabulary.

The vocabulary is small so that two draws meet: the same keys with the same or other values.
"""

import json
import random
from typing import Any

from knarr.objects import fields
from knarr.objects.schema import Schema

Json = dict[str, Any]
_SERVERS = frozenset((
    "managedFields", "generation", "selfLink", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "generateName", "namespace", "name",
))  # fmt: skip
"""Of the object's own metadata: what a client does not choose freely."""
_LEFT_OUT = frozenset((
    # Newer than the library that judges.
    "podPreemptionPolicy", "scheduling", "healthStatus", "bindMountOptions", "defaultUser", "evictionResponders",
    "user", "volumeHealth", "nodeAllocatableResourceClaimStatuses", "mode", "protocol",
    # Pointers that Go writes as null, which upstream takes for a value.
    "azureFile", "grpc", "dataSource", "dataSourceRef",
))  # fmt: skip
_LIKELY = frozenset(("spec", "template", "metadata", "containers", "selector"))
_WORDS = {
    "string": ("a", "b", "c"), "integer": (1, 2, 3), "boolean": (True, False), "quantity": ("1", "2", "100m"),
    "int-or-string": (1, 80, "25%"), "number": (1.5, 2.5), "bytes": ("YQ==", "Yg=="),
    "time": ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
    "micro-time": ("2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000000Z"),
}  # fmt: skip


def is_named_here(schema: Schema, name: str) -> bool:
    """Whether a field of the library's version may be drawn; `protocol` may where it is the key of a list."""
    last = schema.type_name.rpartition(".")[2]
    is_key = name == "protocol" and last in ("ContainerPort", "ServicePort", "EndpointPort")
    return name not in _LEFT_OUT or is_key or (name == "mode" and last == "KeyToPath")


class Dice:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def word(self, schema: Schema) -> Any:
        return self.random.choice(schema.enum[:3] or _WORDS.get(schema.form, (None,)))

    def drawn(self, schema: Schema, name: str = "", depth: int = 6) -> Any:
        """A value; None where there is none to draw."""
        match schema.form:
            case "struct":
                return self._struct(schema, name, depth)
            case "map":
                keys = self.random.sample(["k1", "k2", "k3"], self.random.choice([1, 1, 2, 3]))
                return {key: self.drawn(schema.element, key, depth - 1) for key in keys}
            case "list":
                deeper = depth if schema.element.form == "struct" and depth > 1 else depth - 1
                count = self.random.choice([1, 1, 2, 3])
                return self._entries(schema, [self.drawn(schema.element, name, deeper) for _ in range(count)])
            case _:
                return self.word(schema)

    def _struct(self, schema: Schema, name: str, depth: int) -> Json:
        if depth <= 0:
            return {}
        places = {key: place for key, place in schema.type.fields.items() if self._is_drawn(schema, key, name)}
        chance = min(1.0, (2.5 if depth > 1 else 1.5) / max(1, len(places)))
        made = {}
        for key, place in places.items():
            is_needed = place.zero == "emit" or place.is_required
            if is_needed or self.random.random() < (0.9 if key in _LIKELY else chance):
                value = self.drawn(place, key, depth - 1)
                if value is not None and (place.is_scalar or value or is_needed):
                    made[key] = value
        return made

    def _is_drawn(self, schema: Schema, key: str, name: str) -> bool:
        place = schema.type.fields[key]
        return not place.is_open and is_named_here(schema, key) and not (name == "metadata" and key in _SERVERS)

    def _entries(self, schema: Schema, items: list[Any]) -> list[Any]:
        """The entries with keys, one of each name."""
        found: dict[str, Any] = {}
        defaults = fields.key_defaults(schema.element.type) if schema.list_type == "map" else {}
        for index, item in enumerate(each for each in items if each is not None):
            key = json.dumps(item) if schema.list_type == "set" else str(index)
            if schema.list_type == "map":
                for name in schema.keys:
                    if name in defaults and self.random.random() < 0.4:
                        item.pop(name, None)
                    elif name not in item:
                        item[name] = self.word(schema.element.type.fields[name])
                key = json.dumps([item.get(name, defaults.get(name)) for name in schema.keys])
            found.setdefault(key, item)
        return list(found.values())

    def near(self, schema: Schema, value: Any, name: str = "", depth: int = 6) -> Any:
        """Another value, not far from this one."""
        if schema.form == "struct" and isinstance(value, dict):
            return self._near_struct(schema, value, name, depth)
        if schema.form == "map" and isinstance(value, dict):
            made = {
                key: self.near(schema.element, each, key, depth - 1) if self.random.random() < 0.5 else each
                for key, each in value.items()
                if self.random.random() > 0.2
            }
            return made | self.drawn(schema, name, depth) if self.random.random() < 0.4 else made
        if schema.form == "list" and isinstance(value, list):
            return self._near_list(schema, value, name, depth)
        return self.drawn(schema, name, depth) if self.random.random() < 0.4 else value

    def _near_struct(self, schema: Schema, value: Json, name: str, depth: int) -> Json:
        made = {}
        for key, each in value.items():
            place = schema.type.fields.get(key)
            is_fixed = key in ("apiVersion", "kind", "status") or (name == "metadata" and key in _SERVERS)
            if place is None or place.is_open or is_fixed:
                made[key] = each
                continue
            is_needed = place.zero == "emit" or place.is_required or key in ("metadata", "spec")
            if is_needed or self.random.random() > 0.12:
                made[key] = self.near(place, each, key, depth - 1)
        if depth > 0 and self.random.random() < 0.35:
            more = self.drawn(schema, name, min(depth, 3))
            made |= {key: more[key] for key in more.keys() - made.keys() - {"apiVersion", "kind", "status"}}
        return {key: each for key, each in made.items() if each is not None}

    def _near_list(self, schema: Schema, value: list[Any], name: str, depth: int) -> list[Any]:
        made = [
            self.near(schema.element, each, name, depth - 1) if self.random.random() < 0.5 else each
            for each in value
            if self.random.random() > 0.2
        ]
        if self.random.random() < 0.4:
            made += self.drawn(schema, name, depth)
        if self.random.random() < 0.3:
            self.random.shuffle(made)
        return self._entries(schema, made) if schema.list_type in ("map", "set") else made
