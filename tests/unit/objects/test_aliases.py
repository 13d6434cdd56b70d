"""Two names of one thing are equal in what the server writes, whichever of them a client gave."""

from typing import Any

import pytest

from knarr.kinds import registry, walks

Json = dict[str, Any]


def written(group: str, kind: str, obj: Json) -> Json:
    return walks.defaulted(registry.row(group, "v1", kind), {"metadata": {"name": "x"}, **obj})


@pytest.mark.parametrize("given", [
    {"serviceAccountName": "a"}, {"serviceAccount": "a"}, {"serviceAccountName": "a", "serviceAccount": "b"},
])  # fmt: skip
def test_a_service_account_has_its_old_name_too(given: Json) -> None:
    found = written("apps", "Deployment", {"spec": {"template": {"spec": given}}})["spec"]["template"]["spec"]
    assert (found["serviceAccountName"], found["serviceAccount"]) == ("a", "a")


def test_a_template_without_an_account_gets_none() -> None:
    found = written("apps", "Deployment", {"spec": {"template": {"spec": {}}}})["spec"]["template"]["spec"]
    assert "serviceAccount" not in found


@pytest.mark.parametrize(("given", "found"), [
    ({"podIP": "10.0.0.1"}, {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}),
    ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
     {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}),
    ({"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.1"}]}, {"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}]}),
    ({"phase": "Running"}, {"phase": "Running"}),
])  # fmt: skip
def test_a_pods_address_is_the_first_of_its_addresses(given: Json, found: Json) -> None:
    assert written("", "Pod", {"status": given})["status"] == found


def test_a_nodes_range_is_the_first_of_its_ranges() -> None:
    both = {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}
    assert [written("", "Node", {"spec": {key: both[key]}})["spec"] for key in both] == [both, both]
