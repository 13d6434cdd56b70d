"""No object makes a rule, a default or a warning fail: odd ones of every kind, drawn from its schema.

Many more of them: `make soak` (KNARR_ODD_OBJECTS).
"""

import contextlib
import os
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from knarr.base.errors import BadRequest
from knarr.kinds import registry, schemas, validating, walks, warnings
from knarr.objects.schema import Schema

Json = dict[str, Any]
ROUNDS: Final = int(os.environ.get("KNARR_ODD_OBJECTS", "6"))
DEPTH_MAX: Final = 9
KINDS = [kind for kind in registry.builtin() if kind.type_name]
TEXTS = ("", "a", "A", "a.b/c", "a/b/c", "10.0.0.1", "::1", "fe80::1/64", "10.0.0.0/8", "None", "ClusterIP", "In",
         "Exists", "Always", "Never", "Indexed", "ExternalName", "LoadBalancer", "Local", "1-2-3", "0-4,7", "* * * * *",
         "@every", "TZ=UTC * * * * *", "Pod", "Container", "IPv4", "FQDN", "kubernetes.io/tls", "cpu", "-", "\x00", "٣",
         "x" * 300, "../x", "system-node-critical", "$(A)",
         "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----")  # fmt: skip
QUANTITIES = ("0", "1", "-1", "1n", "1500m", "1Gi", "1e3", "9E", "0.5")
NUMBERS = (0, 1, -1, 7, 80, 65536, 200_000, 2**31 - 1, -(2**31))


def scalar(form: str, place: Schema, dice: random.Random) -> Any:
    simple: Mapping[str, Callable[[], Any]] = {
        "boolean": lambda: dice.random() < 0.5,
        "integer": lambda: dice.choice(NUMBERS),
        "number": lambda: dice.choice((0.0, 0.5, -1.0)),
        "bytes": lambda: dice.choice(("", "eA==", "e30=", "/w==")),
        "time": lambda: "2030-01-01T00:00:00Z",
        "micro-time": lambda: "2030-01-01T00:00:00.000000Z",
        "quantity": lambda: dice.choice(QUANTITIES),
        "duration": lambda: "1s",
        "int-or-string": lambda: dice.choice((0, 1, -1, 70000, "", "50%", "200%", "http", "x%")),
        "any": lambda: dice.choice(({}, [], 1, "a")),
        "object": lambda: dice.choice(({}, {"a": 1})),
        "fields-v1": lambda: {"f:a": {}},
    }
    if form in simple:
        return simple[form]()
    if place.enum and dice.random() < 0.7:
        return dice.choice(place.enum)
    return dice.choice(TEXTS)


def odd(place: Schema, dice: random.Random, depth: int = 0) -> Any:
    """A value that the place may hold, right or wrong."""
    if place.form == "struct":
        fields = place.type.fields
        chance = 0.75 if depth < 3 else 0.35
        names = [name for name in fields if depth < DEPTH_MAX and dice.random() < chance]
        return {name: odd(fields[name], dice, depth + 1) for name in names}
    if place.form == "list":
        return [odd(place.element, dice, depth + 1) for _ in range(dice.choice((0, 1, 1, 2)))]
    if place.form == "map":
        return {dice.choice(TEXTS): odd(place.element, dice, depth + 1) for _ in range(dice.choice((0, 1, 2)))}
    return scalar(place.form, place, dice)


def drawn(kind: registry.Kind, dice: random.Random) -> Json | None:
    """An odd object with its defaults; None if it has a value of the wrong type."""
    obj: Json = odd(schemas.of(kind), dice)
    named = {"name": dice.choice(TEXTS), "labels": {"a": dice.choice(TEXTS)}, "annotations": {"a": "b"}}
    with contextlib.suppress(BadRequest):
        return walks.defaulted(kind, {**obj, "metadata": named})
    return None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.api_version} {kind.kind}")
def test_every_object_is_judged(kind: registry.Kind) -> None:
    judged = 0
    for seed in range(ROUNDS):
        dice = random.Random(f"{kind.kind} {seed}")
        new, old = drawn(kind, dice), drawn(kind, dice)
        if new is None or old is None:
            continue
        judged += 1
        found = validating.create_faults(kind, new)
        for subresource in ("", *kind.subresources):
            found += validating.update_faults(kind, new, old, subresource)
        assert all(cause.reason and cause.message for cause in found)
        assert all(isinstance(text, str) for text in warnings.of(kind, new))
    assert judged
