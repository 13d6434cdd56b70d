"""What a client is told about an object that is accepted."""

from typing import Any

import pytest

from knarr.kinds import registry, warnings

POD, DEPLOYMENT = registry.row("", "v1", "Pod"), registry.row("apps", "v1", "Deployment")


def container(**more: Any) -> dict[str, Any]:
    return {"name": "c", "image": "x", **more}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (
            {"spec": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}},
            'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        ),
        (
            {
                "metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "x"}, "name": "x"},
                "spec": {"containers": [container()]},
            },
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "
            '"appArmorProfile" field instead',
        ),
        (
            {"spec": {"containers": [container(env=[{"name": "A"}, {"name": "A"}])]}},
            'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
        ),
        (
            {"spec": {"containers": [container(ports=[{"containerPort": 80}, {"containerPort": 80}])]}},
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        ),
        (
            {"spec": {"containers": [container(resources={"requests": {"memory": "100m"}})]}},
            'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, '
            "must be an integer",
        ),
        (
            {"spec": {"containers": [container(ports=[{"containerPort": 80}, {"containerPort": 80, "hostPort": 1}])]}},
            "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
        ),
        (
            {"spec": {"containers": [container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)"}])]}},
            'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
        ),
        (
            {"spec": {"topologySpreadConstraints": [{"topologyKey": "z"}]}},
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ),
        (
            {"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}},
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null "
            "labelSelector results in matching no pod",
        ),
        (
            {"spec": {"hostAliases": [{"ip": "1.2.3.4"}, {"ip": "1.2.3.4"}]}},
            'spec.hostAliases[1].ip: duplicate ip "1.2.3.4"',
        ),
        (
            {"spec": {"overhead": {"memory": "100m"}}},
            'spec.overhead[memory]: fractional byte value "100m" is invalid, must be an integer',
        ),
        (
            {
                "spec": {
                    "volumes": [
                        {
                            "name": "v",
                            "projected": {
                                "sources": [
                                    {"serviceAccountToken": {"path": "t"}},
                                    {"configMap": {"items": [{"key": "a", "path": "t"}]}},
                                ]
                            },
                        }
                    ]
                }
            },
            'spec.volumes[0].projected.sources.configMap[0]: has duplicated path with ServiceAccountToken "t"',
        ),
        ({"spec": {"volumes": [{"name": "v", "gitRepo": {}}]}}, "spec.volumes[0].gitRepo: deprecated in v1.11"),
        ({"spec": {"imagePullSecrets": [{}]}}, 'spec.imagePullSecrets[0].name: invalid empty name ""'),
    ],
)
def test_a_pod_and_a_template_are_warned_of_alike(template: dict[str, Any], text: str) -> None:
    assert warnings.of(POD, template) == [text]
    assert warnings.of(DEPLOYMENT, {"spec": {"template": template}}) == [f"spec.template.{text}".replace(
        "with spec.", "with spec.template.spec.")]  # fmt: skip


def test_nothing_is_said_of_what_is_in_order() -> None:
    good = {"metadata": {"annotations": {"a": "b"}}, "spec": {"containers": [container(ports=[{"containerPort": 1}])]}}

    built = container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "$(A):2"}])
    assert warnings.of(POD, {"spec": {"containers": [built]}}) == []
    assert warnings.of(POD, good, is_new=False) == []
    assert warnings.of(registry.row("", "v1", "ConfigMap"), {"data": {}}) == []


def service(**spec: Any) -> dict[str, Any]:
    return {"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", **spec}}


@pytest.mark.parametrize(
    ("kind", "obj", "text"),
    [
        (("", "v1", "Service"), service(externalIPs=["1.2.3.4"]),
         "spec.externalIPs is deprecated and may no longer be implemented in some clusters"),
        (("", "v1", "Service"), service(clusterIP="None", sessionAffinity="ClientIP"),
         "spec.SessionAffinity is ignored for headless services"),
        (("", "v1", "Service"), service(clusterIPs=["2001:DB8::1"]),
         'spec.clusterIPs[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")'),
        (("", "v1", "Service"), service(trafficDistribution="PreferClose"),
         'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'),
        (("", "v1", "Service"), service(loadBalancerSourceRanges=["10.0.0.1/8"]),
         'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be '
         '"10.0.0.0/8" or "10.0.0.1/32"?)'),
        (("", "v1", "PersistentVolumeClaim"), {"spec": {"resources": {"requests": {"storage": "100m"}}}},
         'spec.resources.requests[storage]: fractional byte value "100m" is invalid, must be an integer'),
        (("apps", "v1", "StatefulSet"), {"spec": {"revisionHistoryLimit": -1}},
         "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"),
        (("storage.k8s.io", "v1", "StorageClass"), {"allowedTopologies": [
            {"matchLabelExpressions": [{"key": "beta.kubernetes.io/os"}]}]},
         'allowedTopologies[0].matchLabelExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use '
         '"kubernetes.io/os" instead'),
        (("", "v1", "Node"), {"spec": {"externalID": "x"}},
         "spec.externalID: this field is deprecated, and is unused by Kubernetes"),
    ],
)  # fmt: skip
def test_other_kinds_are_warned_of(kind: tuple[str, str, str], obj: dict[str, Any], text: str) -> None:
    assert warnings.of(registry.row(*kind), obj) == [text]


def test_a_name_that_is_no_host_name_is_warned_of_once_it_is_new() -> None:
    obj = {"metadata": {"name": "a.b"}, "spec": {"containers": [container()]}}
    found = warnings.of(POD, obj)
    assert found[0].startswith("metadata.name: this is used in the Pod's hostname, which can result in surprising")
    assert found[0].endswith("regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')]")
    assert warnings.of(POD, obj, is_new=False) == []
    assert "this is used in Pod names and hostnames" in warnings.of(DEPLOYMENT, {"metadata": {"name": "a.b"}})[0]
