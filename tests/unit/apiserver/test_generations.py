"""metadata.generation: set, kept and counted as the facts say, kind by kind."""

from datetime import UTC, datetime
from typing import Any

import pytest

from knarr.apiserver import resources, strategy
from knarr.kinds import registry

Json = dict[str, Any]
NOW = datetime(2030, 1, 1, tzinfo=UTC)
ROWS = [row for row in registry.facts("kinds")["kinds"] if registry.is_served(row) and "update" in row["verbs"]]
RESOURCES = resources.Resources(registry.builtin()).by_kind


def placed(path: str, value: str) -> Json:
    obj: Json = {}
    *parents, last = path.split(".")
    place = obj
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = {"a": value}
    return obj


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['group']} {row['kind']}")
def test_a_generation_counts_what_the_facts_name(row: Json) -> None:
    resource = RESOURCES[row["group"], row["version"], row["kind"]]
    created = strategy.prepared_create(resource, {"kind": row["kind"], "metadata": {"name": "x", "generation": 9}}, NOW)
    watched = row.get("generation")
    assert created["metadata"].get("generation") == (None if watched is None else 1)
    for path in ("spec", "status", "metadata.labels", *(watched or ())):
        old, new = ({"kind": row["kind"], "spec": {}, **placed(path, value)} for value in ("old", "new"))
        for each in (old, new):
            each["metadata"] = {**each.get("metadata", {}), "name": "x", "generation": 4}
        found = strategy.prepared_update(resource, new, old, "")["metadata"]["generation"]
        # What no update changes counts nothing: a request to be signed keeps its spec.
        is_kept = path in strategy.KEPT.get((row["group"], row["kind"]), ())
        assert found == (5 if path in (watched or ()) and not is_kept else 4), path


def test_a_kubelet_that_says_no_quality_of_service_takes_none_away() -> None:
    resource = RESOURCES["", "v1", "Pod"]
    old: Json = {"kind": "Pod", "metadata": {"name": "x"}, "status": {"qosClass": "Burstable", "observedGeneration": 2}}
    new: Json = {**old, "status": {"phase": "Running"}}
    found = strategy.prepared_update(resource, new, old, "status")
    assert found["status"] == {"phase": "Running", "qosClass": "Burstable", "observedGeneration": 2}
