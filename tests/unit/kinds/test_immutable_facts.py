"""Every field that the facts call immutable: a change of it is refused, whatever else the object is."""

from typing import Any

import pytest

from knarr.kinds import immutability, registry
from knarr.kinds.rules import table

Json = dict[str, Any]
ROWS: list[Json] = [row for row in registry.facts("kinds")["kinds"] if registry.is_served(row) and row.get("immutable")]
# Values for fields whose rule reads them.
VALUES: dict[str, tuple[Any, Any]] = {
    "spec.clusterIP": ("10.0.0.1", "10.0.0.2"),
    "spec.clusterIPs": (["10.0.0.1"], ["10.0.0.2"]),
    "spec.ipFamilies[0]": ("IPv4", "IPv6"),
    "spec.cidrs": (["10.0.0.0/8"], ["11.0.0.0/8"]),
    "spec.podCIDRs": (["10.0.0.0/24"], ["10.1.0.0/24"]),
    "spec.scopes": (["Terminating"], ["NotTerminating"]),
    "spec.healthCheckNodePort": (30001, 30002),
    "spec.completions": (1, 2),
}
# What else holds of both objects, where a rule names when it holds.
BESIDE: dict[tuple[str, str], Json] = {
    ("Service", "spec.healthCheckNodePort"): {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
    ("Service", "spec.loadBalancerClass"): {"type": "LoadBalancer"},
}
ESTABLISHED = {"conditions": [{"type": "Established", "status": "True"}]}


def placed(path: str, value: Any, beside: Json) -> Json:
    """An object with the value at the path."""
    obj: Json = {"metadata": {"name": "x"}, "spec": dict(beside), "status": ESTABLISHED}
    *parents, last = path.replace("[0]", "").split(".")
    place = obj
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = [value] if path.endswith("[0]") else value
    return obj


def cases() -> list[Any]:
    return [
        pytest.param(row, path, id=f"{row['kind']} {path}")
        for row in ROWS
        for path in row["immutable"].get("fields", ())
        if "<" not in path
    ]


@pytest.mark.parametrize(("row", "path"), cases())
def test_a_field_that_the_facts_freeze_is_frozen(row: Json, path: str) -> None:
    kind = registry.row(row["group"], row["version"], row["kind"])
    values = VALUES.get(path, ({"a": "old"}, {"a": "new"}))
    beside = BESIDE.get((row["kind"], path), {})
    old, new = (placed(path, value, beside) for value in values)
    found = immutability.found(kind, new, old)
    for change in table.changes(row["group"], row["kind"]):
        found += change(new, old)
    top = path.replace("[0]", "")
    assert any(cause.field.startswith(top) or top.startswith(cause.field or "\0") for cause in found), found


@pytest.mark.parametrize(
    "row", [row for row in ROWS if "whenTrue" in row["immutable"]], ids=lambda row: str(row["kind"])
)
def test_what_a_flag_freezes_is_frozen(row: Json) -> None:
    kind = registry.row(row["group"], row["version"], row["kind"])
    for flag, paths in row["immutable"]["whenTrue"].items():
        for path in paths:
            old: Json = {"metadata": {"name": "x"}, flag: True, path: {"a": "old"}} | {flag: True}
            new = old | {path: {"a": "new"}}
            found = [(cause.field, cause.message) for cause in immutability.found(kind, new, old)]
            assert (path, f"Forbidden: field is immutable when `{flag}` is set") in found
