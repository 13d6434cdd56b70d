"""What the server adds to pods, Services and namespaces, and what it refuses."""

import asyncio
from typing import Any

import pytest

from knarr.apiserver.admission import limits

PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
Json = dict[str, Any]


def pod(name: str, **spec: Any) -> Json:
    whole = {"containers": [{"name": "c", "image": "x"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole}


def service(name: str, **spec: Any) -> Json:
    whole = {"ports": [{"port": 80}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": whole}


async def test_a_pod_gets_its_account_token_priority_and_tolerations(ask: Any) -> None:
    made = await ask("POST", PODS, pod("p"))
    spec = made["spec"]
    assert (spec["serviceAccountName"], spec["priority"], spec["preemptionPolicy"]) == (
        "default", 0, "PreemptLowerPriority",
    )  # fmt: skip
    volume = spec["volumes"][0]
    assert volume["name"].startswith("kube-api-access-")
    assert spec["containers"][0]["volumeMounts"] == [
        {
            "name": volume["name"],
            "readOnly": True,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        }
    ]
    assert [t["key"] for t in spec["tolerations"]] == ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


async def test_a_pod_without_account_is_refused(ask: Any) -> None:
    refused = await ask("POST", PODS, pod("p", serviceAccountName="nobody"))
    assert refused["message"] == (
        'pods "p" is forbidden: error looking up service account default/nobody: serviceaccount "nobody" not found'
    )


async def test_a_pod_waits_for_the_account_of_a_fresh_namespace(ask: Any) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fresh"}}
    await ask("POST", "/api/v1/namespaces", namespace)
    asked = asyncio.ensure_future(ask("POST", "/api/v1/namespaces/fresh/pods", pod("p")))
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await ask("POST", "/api/v1/namespaces/fresh/serviceaccounts", account)
    assert (await asked)["kind"] == "Pod"


async def test_a_pod_that_is_replaced_keeps_what_its_class_gave_and_gets_tolerations_anew(ask: Any) -> None:
    made = await ask("POST", PODS, pod("p"))
    spec = {key: value for key, value in made["spec"].items() if key not in ("priority", "preemptionPolicy")}
    body = {**pod("p", **{**spec, "tolerations": []}), "metadata": {"name": "p", "labels": {"a": "b"}}}
    replaced = await ask("PUT", f"{PODS}/p", body)
    assert (replaced["metadata"]["labels"], replaced["spec"]) == ({"a": "b"}, made["spec"])


async def test_services_get_addresses_and_ports_of_their_own(ask: Any) -> None:
    made = await asyncio.gather(*(ask("POST", SERVICES, service(f"s{n}", type="NodePort")) for n in range(50)))
    addresses = {each["spec"]["clusterIP"] for each in made}
    ports = {each["spec"]["ports"][0]["nodePort"] for each in made}
    assert (len(addresses), len(ports)) == (50, 50)
    assert all(address.startswith("10.96.") for address in addresses)
    assert all(30000 <= port <= 32767 for port in ports)


async def test_an_address_or_port_is_given_once_and_again_after_its_service_is_gone(ask: Any) -> None:
    await ask("POST", SERVICES, service("a", clusterIP="10.96.7.7"))
    taken = await ask("POST", SERVICES, service("b", clusterIP="10.96.7.7"))
    assert (taken["code"], "already allocated" in taken["message"]) == (422, True)
    await ask("DELETE", f"{SERVICES}/a")
    again = await ask("POST", SERVICES, service("b", clusterIP="10.96.7.7"))
    assert again["spec"]["clusterIPs"] == ["10.96.7.7"]
    outside = await ask("POST", SERVICES, service("c", clusterIP="10.1.1.1"))
    assert "not in the valid range" in outside["message"]
    headless = await ask("POST", SERVICES, service("d", clusterIP="None"))
    assert headless["spec"]["clusterIPs"] == ["None"]


async def test_an_update_of_a_service_keeps_what_it_has(ask: Any) -> None:
    made = await ask("POST", SERVICES, service("a", type="NodePort"))
    updated = await ask("PUT", f"{SERVICES}/a", service("a", type="NodePort", selector={"a": "b"}))
    assert updated["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    assert updated["spec"]["ports"] == made["spec"]["ports"]


async def test_a_service_with_an_address_gets_no_other_wherever_that_may_be(ask: Any) -> None:
    await ask("POST", SERVICES, service("a", clusterIP="None"))
    await ask("POST", SERVICES, service("b", clusterIP="10.96.7.7"))
    told = [
        await ask("PUT", f"{SERVICES}/a", service("a", clusterIP="10.1.1.1")),
        await ask("PUT", f"{SERVICES}/a", service("a", clusterIP="10.96.7.8")),
        await ask("PUT", f"{SERVICES}/b", service("b", clusterIP="None")),
    ]
    assert [each["message"] for each in told] == [
        f'Service "{name}" is invalid: spec.clusterIPs[0]: Invalid value: ["{wanted}"]: may not change once set'
        for name, wanted in (("a", "10.1.1.1"), ("a", "10.96.7.8"), ("b", "None"))
    ]


async def test_a_quota_refuses_what_goes_past_it_even_at_once(ask: Any) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q1"},
        "spec": {"hard": {"configmaps": "3"}},
    }
    await ask("POST", "/api/v1/namespaces/default/resourcequotas", quota)
    body = {"apiVersion": "v1", "kind": "ConfigMap"}
    path = "/api/v1/namespaces/default/configmaps"
    made = await asyncio.gather(*(ask("POST", path, body | {"metadata": {"name": f"c{n}"}}) for n in range(10)))
    assert sum(each["kind"] == "ConfigMap" for each in made) == 3
    refused = next(each for each in made if each["kind"] == "Status")
    assert refused["code"] == 403
    assert "is forbidden: exceeded quota: q1, requested: configmaps=1, used: configmaps=" in refused["message"]
    await ask("DELETE", f"{path}/c0")
    assert (await ask("POST", path, body | {"metadata": {"name": "again"}}))["kind"] == "ConfigMap"


async def test_a_quota_on_cpu_wants_it_named_and_counts_it(ask: Any) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": {"requests.cpu": "1"}},
    }
    await ask("POST", "/api/v1/namespaces/default/resourcequotas", quota)
    unnamed = await ask("POST", PODS, pod("a"))
    assert "failed quota: q: must specify requests.cpu for: c" in unnamed["message"]
    resources = {"requests": {"cpu": "600m"}}
    one = [{"name": "c", "image": "x", "resources": resources}]
    assert (await ask("POST", PODS, pod("a", containers=one)))["kind"] == "Pod"
    refused = await ask("POST", PODS, pod("b", containers=one))
    assert (
        "exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1"
        in (refused["message"])
    )


async def test_a_pod_that_as_a_whole_names_nothing_does_not_satisfy_a_quota(ask: Any) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "1"}}}
    await ask("POST", "/api/v1/namespaces/default/resourcequotas", quota)
    named = await ask("POST", PODS, pod("a", resources={"requests": {"cpu": "1"}}))
    refused = await ask("POST", PODS, pod("b", resources={"requests": {}}))
    assert named["kind"] == "Pod", named
    assert "must specify requests.cpu for: c" in refused["message"]


async def test_limit_ranges_default_and_bound_containers(ask: Any) -> None:
    limits = {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}
    body = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [limits]}}
    await ask("POST", "/api/v1/namespaces/default/limitranges", body)
    made = await ask("POST", PODS, pod("a"))
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}}
    big = [{"name": "c", "image": "x", "resources": {"limits": {"cpu": "2"}}}]
    refused = await ask("POST", PODS, pod("b", containers=big))
    assert refused["message"] == 'pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2'


def sized(cpu: str, **more: Any) -> Json:
    return {"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"containers": [sized("1")], "overhead": {"cpu": "2"}}, ""),
        ({"containers": [sized("1")], "initContainers": [sized("3", name="i")]}, "limit is 3"),
        (
            {"containers": [sized("1500m")], "initContainers": [sized("1", name="s", restartPolicy="Always")]},
            "limit is 2500m",
        ),
        ({"containers": [{"name": "c", "image": "x"}], "resources": {"limits": {"cpu": "4"}}}, "limit is 4"),
        ({"containers": [{"name": "c", "image": "x"}], "resources": {"limits": {"cpu": "2"}}}, ""),
    ],
)
def test_limit_ranges_bound_pods_by_what_they_take_at_most_or_say_as_a_whole(spec: Json, said: str) -> None:
    faults = list(limits.faults({"type": "Pod", "max": {"cpu": "2"}}, {"kind": "Pod", "spec": spec}))
    assert faults == ([f"maximum cpu usage per Pod is 2, but {said}"] if said else [])


async def test_nothing_is_created_in_a_terminating_namespace(ask: Any) -> None:
    await ask("DELETE", "/api/v1/namespaces/kube-system")  # protected
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going"}}
    await ask("POST", "/api/v1/namespaces", namespace)
    gone = await ask("DELETE", "/api/v1/namespaces/going")
    assert (gone["status"]["phase"], gone["spec"]["finalizers"]) == ("Terminating", ["kubernetes"])
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    refused = await ask("POST", "/api/v1/namespaces/going/configmaps", body)
    assert refused["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    gone["spec"]["finalizers"] = []
    await ask("PUT", "/api/v1/namespaces/going/finalize", gone)
    assert (await ask("GET", "/api/v1/namespaces/going"))["code"] == 404
