"""What the tests of rules share: the faults of an object of a kind, or of a change of one, as a client reads them."""

from typing import Any

from knarr.kinds import registry, validating, walks

Json = dict[str, Any]
ROWS = {row["kind"]: row for row in reversed(registry.facts("kinds")["kinds"]) if row["stage"] == "ga"}


def row(name: str) -> registry.Kind:
    """The kind of a name, or of `group/name` where two groups have it."""
    group, slash, kind = name.rpartition("/")
    facts = ROWS[kind]
    if slash:
        facts = next(
            each for each in registry.facts("kinds")["kinds"] if (each["group"], each["kind"]) == (group, kind)
        )
    return registry.row(facts["group"], facts["version"], kind)


def whole(name: str, obj: Json) -> Json:
    return walks.defaulted(row(name), {"metadata": {"name": "x"}, **obj})


def refused(name: str, obj: Json, asked: str = "") -> list[str]:
    """The faults of a new object; `asked` is the kind that the client speaks of."""
    found = validating.create_faults(row(name), whole(name, obj), row(asked) if asked else None)
    return [f"{cause.field}: {cause.message}" for cause in found]


def refused_change(name: str, old: Json, new: Json, subresource: str = "", asked: str = "") -> list[str]:
    pair = whole(name, new), whole(name, old)
    found = validating.update_faults(row(name), *pair, subresource, row(asked) if asked else None)
    return [f"{cause.field}: {cause.message}" for cause in found]
