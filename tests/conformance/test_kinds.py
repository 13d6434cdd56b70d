"""Every served kind, asked of a live server: discovery, verbs, subresources and columns are those of the facts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knarr.kinds import metrics, registry
from tests.conformance import raw

Json = dict[str, Any]
FACTS = registry.facts("kinds")
ROWS: list[Json] = [row for row in FACTS["kinds"] if registry.is_served(row)]
# Verb → how it is asked of an object that is not there, so that nothing changes.
ASKED: Mapping[str, tuple[str, str, Any]] = {
    "get": ("GET", "/absent", None),
    "list": ("GET", "", None),
    "watch": ("GET", "?watch=1&resourceVersion=none", None),
    "create": ("POST", "", {}),
    "update": ("PUT", "/absent", {}),
    "patch": ("PATCH", "/absent", {}),
    "delete": ("DELETE", "/absent", None),
    "deletecollection": ("DELETE", "?fieldSelector=metadata.name%3Dabsent", None),
}
# Events of both groups look the same.
EVENTS = next(row["columns"] for row in ROWS if (row["group"], row["kind"]) == ("", "Event"))
ASKED_OF_LATER = (("GET", None), ("POST", {}))
METHODS = {"create": "POST", "get": "GET", "patch": "PATCH", "update": "PUT", "delete": "DELETE"}


def base(row: Json) -> str:
    return f"/apis/{row['group']}/{row['version']}" if row["group"] else f"/api/{row['version']}"


def collection(row: Json) -> str:
    return f"{base(row)}/namespaces/default/{row['plural']}" if row["namespaced"] else f"{base(row)}/{row['plural']}"


def entry(row: Json) -> Json:
    """The row as the older discovery lists it."""
    return {
        "name": row["plural"],
        "singularName": row["singular"],
        "namespaced": row["namespaced"],
        "kind": row["kind"],
        "verbs": sorted(row["verbs"]),
        "shortNames": row.get("shortNames") or [],
        "categories": row.get("categories") or [],
    }


def subresource(row: Json, name: str, facts: Json) -> Json:
    group, version, kind = facts.get("kind") or (row["group"], row["version"], row["kind"])
    # A body of another group or version says which.
    other = {"group": group, "version": version} if (group, version) != (row["group"], row["version"]) else {}
    return {
        "name": f"{row['plural']}/{name}",
        "namespaced": row["namespaced"],
        "kind": kind,
        "verbs": sorted(facts["verbs"]),
        **other,
    }


async def test_discovery_lists_each_kind_as_the_facts_do(tmp_path: Path) -> None:
    async with raw.opened(tmp_path) as api:
        for path in sorted({base(row) for row in ROWS}):
            _, found = await api("GET", path)
            listed = {each["name"]: each for each in found["resources"]}
            wanted: dict[str, Json] = {}
            for row in (row for row in ROWS if base(row) == path):
                wanted[row["plural"]] = entry(row)
                for name, facts in row.get("subresources", {}).items():
                    each = subresource(row, name, facts)
                    wanted[each["name"]] = each
            assert listed.keys() == wanted.keys()
            for name, each in wanted.items():
                given = {key: listed[name].get(key, []) for key in each}
                assert {**given, "verbs": sorted(given["verbs"])} == each


async def test_aggregated_discovery_says_the_same(tmp_path: Path) -> None:
    wanted = {
        (row["group"], row["version"], row["plural"]): (
            row["kind"],
            row["singular"],
            "Namespaced" if row["namespaced"] else "Cluster",
            sorted(row["verbs"]),
            row.get("shortNames") or [],
            row.get("categories") or [],
            {name: sorted(facts["verbs"]) for name, facts in row.get("subresources", {}).items()},
        )
        for row in ROWS
    }
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    found = {}
    async with raw.opened(tmp_path) as api:
        for path in ("/api", "/apis"):
            _, document = await api("GET", path, accept=accept)
            for group in document["items"]:
                for version in group["versions"]:
                    for each in version["resources"]:
                        found[group["metadata"]["name"], version["version"], each["resource"]] = (
                            each["responseKind"]["kind"],
                            each["singularResource"],
                            each["scope"],
                            sorted(each["verbs"]),
                            each.get("shortNames", []),
                            each.get("categories", []),
                            {sub["subresource"]: sorted(sub["verbs"]) for sub in each.get("subresources", ())},
                        )
    assert {key: each for key, each in found.items() if key[0] != metrics.GROUP} == wanted


async def test_a_verb_is_served_where_the_facts_name_it_and_nowhere_else(tmp_path: Path) -> None:
    wrong = []
    async with raw.opened(tmp_path) as api:
        for row in ROWS:
            for verb, (method, suffix, body) in ASKED.items():
                code, found = await api(method, collection(row) + suffix, body)
                is_served = code not in (404, 405) or (found.get("details") or {}).get("name") == "absent"
                if is_served is not (verb in row["verbs"]) or code >= 500:
                    wrong.append((row["group"], row["kind"], verb, code, found.get("message")))
    assert wrong == []


async def test_a_subresource_is_served_where_the_facts_name_it(tmp_path: Path) -> None:
    wrong = []
    async with raw.opened(tmp_path) as api:
        for row in ROWS:
            for name, facts in row.get("subresources", {}).items():
                for verb, method in METHODS.items():
                    code, found = await api(method, f"{collection(row)}/absent/{name}", {} if method != "GET" else None)
                    is_served = code not in (404, 405) or "absent" in str(found.get("details", {}).get("name"))
                    if is_served is not (verb in facts["verbs"]) or code >= 500:
                        wrong.append((row["kind"], name, verb, code, found.get("message")))
            assert (await api("GET", f"{collection(row)}/absent/nothing"))[0] == 404
    assert wrong == []


async def test_columns_are_those_of_the_facts(tmp_path: Path) -> None:
    keys = ("name", "type", "format", "priority")
    async with raw.opened(tmp_path) as api:
        for row in (row for row in ROWS if "list" in row["verbs"]):
            code, table = await api("GET", collection(row), accept=raw.TABLE)
            assert (code, table["kind"]) == (200, "Table"), row["kind"]
            found = [tuple(each.get(key) or 0 for key in keys) for each in table["columnDefinitions"]]
            columns = row.get("columns") or EVENTS
            columns = FACTS["tables"]["default"] if columns == "default" else columns
            assert found == [tuple(each.get(key) or 0 for key in keys) for each in columns], row["kind"]


async def test_groups_that_do_nothing_yet_answer_404(tmp_path: Path) -> None:
    later = [row for row in FACTS["kinds"] if row["group"] in registry.LATER_GROUPS]
    async with raw.opened(tmp_path) as api:
        found = {(await api(method, collection(row), body))[0] for row in later for method, body in ASKED_OF_LATER}
    assert later
    assert found == {404}
