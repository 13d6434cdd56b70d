"""Decoding, defaults and unknown fields of built-in kinds."""

from typing import Any

import pytest

from knarr.base.errors import BadRequest
from knarr.kinds import registry, schemas, walks
from knarr.kinds.apps import DEPLOYMENT, STATEFULSET
from knarr.kinds.core_config import CONFIGMAP, NAMESPACE, SECRET
from knarr.kinds.core_pod import POD
from knarr.kinds.core_service import SERVICE
from knarr.kinds.registry import Kind
from knarr.objects import validation

Json = dict[str, Any]
KINDS = [registry.row(row["group"], row["version"], row["kind"]) for row in registry.facts("kinds")["kinds"]]


def pod(**container: Any) -> Json:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x:1", **container}]}}


def test_a_pod_gets_upstreams_defaults() -> None:
    found = walks.defaulted(POD, pod(ports=[{"containerPort": 80}], livenessProbe={"httpGet": {"port": 80}}))
    container = found["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert container["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
    }  # fmt: skip
    assert container["resources"] == {}
    assert {key: value for key, value in found["spec"].items() if key != "containers"} == {
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "securityContext": {}, "enableServiceLinks": True,
        "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("x", "Always"), ("x:latest", "Always"), ("x:1", "IfNotPresent"), ("localhost:5000/x", "Always"),
        ("localhost:5000/x:1", "IfNotPresent"), ("x@sha256:aa", "IfNotPresent"), ("x:latest@sha256:aa", "Always"),
    ],
)  # fmt: skip
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert walks.defaulted(POD, pod(image=image))["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_requests_follow_limits_in_canonical_form() -> None:
    given = {"limits": {"cpu": "0.5", "memory": "1024Mi"}, "requests": {"cpu": "100m"}}
    found = walks.defaulted(POD, pod(resources=given))["spec"]["containers"][0]["resources"]
    assert found == {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "1Gi"}}


def test_a_volume_without_source_is_an_empty_dir() -> None:
    given = pod()
    given["spec"]["volumes"] = [{"name": "a"}, {"name": "b", "secret": {"secretName": "s"}}]
    found = walks.defaulted(POD, given)["spec"]["volumes"]
    assert found == [{"name": "a", "emptyDir": {}}, {"name": "b", "secret": {"secretName": "s", "defaultMode": 420}}]


def test_a_deployment_gets_its_strategy_and_its_templates_defaults() -> None:
    found = walks.defaulted(DEPLOYMENT, {"metadata": {"name": "d"}, "spec": {"template": pod()}})["spec"]
    assert found["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    assert (found["replicas"], found["revisionHistoryLimit"], found["progressDeadlineSeconds"]) == (1, 10, 600)
    assert found["template"]["spec"]["restartPolicy"] == "Always"


def test_recreate_gets_no_rolling_update() -> None:
    found = walks.defaulted(DEPLOYMENT, {"metadata": {"name": "d"}, "spec": {"strategy": {"type": "Recreate"}}})
    assert found["spec"]["strategy"] == {"type": "Recreate"}


def test_a_service_gets_ports_and_policies_of_its_type() -> None:
    given = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    found = walks.defaulted(SERVICE, given)["spec"]
    assert found["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert (found["externalTrafficPolicy"], found["sessionAffinity"]) == ("Cluster", "None")
    assert "externalTrafficPolicy" not in walks.defaulted(SERVICE, {"metadata": {"name": "s"}, "spec": {}})["spec"]


def test_a_stateful_set_gets_its_partition_in_upstreams_order() -> None:
    found = walks.defaulted(STATEFULSET, {"metadata": {"name": "s"}, "spec": {}})["spec"]
    assert found["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}}
    assert found["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_an_autoscaler_with_behavior_gets_both_directions() -> None:
    kind = registry.row("autoscaling", "v2", "HorizontalPodAutoscaler")
    found = walks.defaulted(kind, {"metadata": {"name": "h"}, "spec": {"behavior": {}}})["spec"]["behavior"]
    assert found["scaleUp"]["policies"][0] == {"periodSeconds": 15, "type": "Pods", "value": 4}
    assert found["scaleDown"]["selectPolicy"] == "Max"


def test_a_namespace_is_labelled_with_its_name() -> None:
    assert walks.defaulted(NAMESPACE, {"metadata": {"name": "n"}})["metadata"]["labels"] == {
        "kubernetes.io/metadata.name": "n"
    }


def test_nulls_and_empty_optional_values_are_dropped_and_explicit_zeros_of_pointers_kept() -> None:
    found = walks.defaulted(
        DEPLOYMENT,
        {"metadata": {"name": "d", "labels": {}}, "spec": {"replicas": 0, "paused": False, "selector": None}},
    )
    assert found["metadata"] == {"name": "d"}
    assert found["spec"]["replicas"] == 0
    assert "paused" not in found["spec"]
    assert "selector" not in found["spec"]


def test_unknown_fields_are_pruned_and_reported_by_path() -> None:
    given = pod(imago="x", env=[{"name": "A", "valu": "1"}])
    given["specs"] = {}
    assert walks.unknown_fields(POD, given) == [
        'unknown field "spec.containers[0].imago"',
        'unknown field "spec.containers[0].env[0].valu"',
        'unknown field "specs"',
    ]
    found = walks.defaulted(POD, given)
    assert "specs" not in found
    assert "imago" not in found["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("kind", "obj", "text"),
    [
        (DEPLOYMENT, {"spec": {"replicas": "3"}}, "into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (POD, {"spec": {"containers": {}}}, "into Go struct field PodSpec.spec.containers of type []v1.Container"),
        (DEPLOYMENT, {"spec": {"replicas": 1.5}}, "number 1.5 into Go struct field DeploymentSpec.spec."),
        (DEPLOYMENT, {"metadata": []}, "array into Go struct field Deployment.metadata of type v1.ObjectMeta"),
        (POD, pod(tty=1), "cannot unmarshal number into Go struct field Container.spec.containers.tty of type bool"),
        (CONFIGMAP, {"data": {"a": 1}}, "cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        (SECRET, {"data": {"a": "%%"}}, "illegal base64 data at input byte 0"),
        (POD, pod(resources={"limits": {"cpu": "1x"}}), "quantities must match the regular expression"),
        (POD, {"metadata": {"creationTimestamp": "now"}}, 'parsing time "now"'),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused_with_its_place(kind: Kind, obj: Json, text: str) -> None:
    with pytest.raises(BadRequest) as found:
        walks.defaulted(kind, obj)
    assert text in str(found.value)
    assert str(found.value).startswith(f'{kind.kind} in version "v1" cannot be handled as a {kind.kind}: ')


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.group}/{kind.version}/{kind.kind}")
def test_every_kind_has_a_schema_defaults_settle_and_checks_compile(kind: Kind) -> None:
    once = walks.defaulted(kind, {"metadata": {"name": "x"}})
    assert walks.defaulted(kind, once) == once
    assert walks.unknown_fields(kind, once) == []
    validation.found(schemas.of(kind), once)


def test_decoding_changes_nothing_in_what_it_is_given() -> None:
    given = pod(resources={"limits": {"cpu": "0.5"}})
    walks.defaulted(POD, given)
    assert given == pod(resources={"limits": {"cpu": "0.5"}})


def test_a_claim_template_says_what_it_is_on_every_write() -> None:
    claims = [{"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]
    found = walks.defaulted(STATEFULSET, {"metadata": {"name": "s"}, "spec": {"volumeClaimTemplates": claims}})
    claim = found["spec"]["volumeClaimTemplates"][0]
    assert (claim["apiVersion"], claim["kind"], claim["spec"]["volumeMode"]) == (
        "v1", "PersistentVolumeClaim", "Filesystem",
    )  # fmt: skip


def test_the_served_kinds_are_those_that_upstream_serves_by_default_and_that_do_something() -> None:
    served = {(kind.group, kind.version, kind.kind) for kind in registry.builtin()}
    assert ("apps", "v1", "Deployment") in served
    assert not {group for group, _, _ in served} & registry.LATER_GROUPS
    assert not [each for each in served if "alpha" in each[1] or "beta" in each[1]]


def test_the_divisor_of_a_resource_field_is_always_written() -> None:
    where = {"resourceFieldRef": {"resource": "limits.cpu"}}
    pod = {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "valueFrom": where}]}]}}
    made = walks.decoded(POD, pod)["spec"]["containers"][0]["env"][0]["valueFrom"]
    assert made == {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}


def test_a_port_that_may_be_a_name_is_always_written_and_zero_takes_the_default() -> None:
    probe = {"httpGet": {"path": "/"}}
    given = {"spec": {"containers": [{"name": "c", "livenessProbe": probe}]}}
    made = walks.decoded(POD, given)["spec"]["containers"][0]["livenessProbe"]["httpGet"]
    assert made == {"path": "/", "port": 0}
    service = next(kind for kind in KINDS if kind.kind == "Service")
    assert walks.defaulted(service, {"spec": {"ports": [{"port": 80}]}})["spec"]["ports"][0]["targetPort"] == 80
