"""Rules across fields that a schema cannot say: a fault per rule, by kind, in upstream's words."""

from typing import Any

import pytest

from knarr.kinds import registry, validating, walks

Json = dict[str, Any]
ROWS = {row["kind"]: row for row in reversed(registry.facts("kinds")["kinds"]) if row["stage"] == "ga"}
TARGET = {"kind": "Deployment", "name": "d"}
PORTS = [{"port": 80}]


def texts(name: str, obj: Json, old: Json | None = None) -> list[str]:
    kind = registry.row(ROWS[name]["group"], ROWS[name]["version"], name)
    new, *before = (walks.defaulted(kind, {"metadata": {"name": "x"}, **each}) for each in (obj, old) if each)
    found = validating.update_faults(kind, new, before[0]) if before else validating.create_faults(kind, new)
    return [f"{cause.field}: {cause.message}" for cause in found]


def pod(**spec: Any) -> Json:
    return {"spec": {"containers": [{"name": "c", "image": "x:1"}], **spec}}


def container(**fields: Any) -> Json:
    return {"spec": {"containers": [{"name": "c", "image": "x:1", **fields}]}}


def volume(**source: Any) -> Json:
    return pod(volumes=[{"name": "v", **source}])


def disk(**spec: Any) -> Json:
    return {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], **spec}}


def scaler(**metric: Any) -> Json:
    return {"spec": {"maxReplicas": 2, "scaleTargetRef": TARGET, "metrics": [metric]}}


CASES: list[tuple[str, Json, str]] = [
    ("Pod", volume(hostPath={}), "spec.volumes[0].hostPath.path: Required value"),
    ("Pod", volume(nfs={"server": "s", "path": "p"}), "spec.volumes[0].nfs.path: Invalid value: \"p\": must be an abs"),
    ("Pod", volume(projected={"sources": [{"secret": {"name": "a"}, "configMap": {"name": "b"}}]}),
     "spec.volumes[0].projected.sources[0]: Forbidden: may not specify more than 1 volume type per source"),
    ("Pod", container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]),
     "error converting fieldPath: field label not supported: spec.x"),
    ("Pod", container(resources={"requests": {"example.com/gpu": "1"}}),
     "resources.limits: Required value: Limit must be set for non overcommitable resources"),
    ("Pod", container(resources={"limits": {"foo": "1"}}), "must be a standard resource for containers"),
    ("Pod", container(lifecycle={"preStop": {"sleep": {"seconds": 99}}}),
     "must be non-negative and less than terminationGracePeriodSeconds (30)"),
    ("Pod", container(securityContext={"seccompProfile": {"type": "Localhost"}}),
     "seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"),
    ("Pod", pod(shareProcessNamespace=True, hostPID=True), "ShareProcessNamespace and HostPID cannot both be enabled"),
    ("Pod", pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]),
     "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"),
    ("Pod", pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}),
     "nodeSelectorTerms: Required value: must have at least one node selector term"),
    ("Pod", pod(initContainers=[{"name": "i", "image": "x", "livenessProbe": {"exec": {"command": ["a"]}}}]),
     "livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"),
    ("Service", {"spec": {"ports": PORTS, "loadBalancerClass": "a/b"}},
     "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"),
    ("Service", {"spec": {"ports": PORTS, "externalIPs": ["127.0.0.1"]}}, "may not be in the loopback range"),
    ("Service", {"spec": {"ports": PORTS, "ipFamilies": ["IPv4", "IPv4"]}},
     "spec.ipFamilies[1]: Duplicate value: \"IPv4\""),
    ("PersistentVolume", disk(local={"path": "/d"}), "spec.nodeAffinity: Required value: Local volume requires node"),
    ("PersistentVolume", disk(hostPath={"path": "/"}, persistentVolumeReclaimPolicy="Recycle"),
     "may not be 'recycle' for a hostPath mount of '/'"),
    ("StorageClass", {"provisioner": "p", "reclaimPolicy": "Recycle"},
     'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'),
    ("VolumeAttributesClass", {"driverName": "d"}, "parameters: Required value: must contain at least one key/value"),
    ("VolumeAttachment", {"spec": {"attacher": "a", "nodeName": "n"}},
     "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
    ("HorizontalPodAutoscaler", scaler(type="Pods"),
     "spec.metrics[0].pods: Required value: must populate information for the given metric source"),
    ("HorizontalPodAutoscaler", scaler(type="Resource", resource={"name": "cpu", "target": {"type": "Utilization"}}),
     "target.averageUtilization: Required value: must set either a target raw value or a target utilization"),
    ("CronJob", {"spec": {"schedule": "61 * * * *"}}, "end of range (61) above maximum (59): 61"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "text"), CASES, ids=[f"{case[0]}: {case[2][:40]}" for case in CASES])
def test_a_rule_across_fields_is_told_in_upstreams_words(name: str, obj: Json, text: str) -> None:
    found = texts(name, obj)
    assert any(text in each for each in found), found


def test_a_rule_that_says_why_is_heard_without_the_schemas_bare_word() -> None:
    found = texts("HorizontalPodAutoscaler", scaler(type="Pods", pods={"metric": {}, "target": {"type": "Value"}}))
    assert [each for each in found if each.startswith("spec.metrics[0].pods.metric.name")] == [
        "spec.metrics[0].pods.metric.name: Required value: must specify a metric name"
    ]


def test_a_volumes_source_never_changes() -> None:
    found = texts("PersistentVolume", disk(hostPath={"path": "/b"}), disk(hostPath={"path": "/a"}))
    assert "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation" in found


def test_a_claim_grows_but_never_below_what_it_has() -> None:
    def claim(amount: str, has: str) -> Json:
        status = {"phase": "Bound", "capacity": {"storage": has}}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": amount}}}
        return {"spec": spec, "status": status}

    assert texts("PersistentVolumeClaim", claim("2Gi", "1Gi"), claim("1Gi", "1Gi")) == []
    assert texts("PersistentVolumeClaim", claim("2Gi", "1Gi"), claim("3Gi", "1Gi")) == []
    for amount in ("1Mi", "1Gi"):  # back to what it has is refused upstream, too
        assert texts("PersistentVolumeClaim", claim(amount, "1Gi"), claim("2Gi", "1Gi")) == [
            "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
        ]


def test_a_union_has_one_member() -> None:
    def piece(**devices: Any) -> Json:
        return {"spec": {"driver": "d", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1}, **devices}}

    both = piece(devices=[{"name": "a", "attributes": {"x": {"int": 1, "bool": True}}}])
    assert any("must specify exactly one of: `bool`, " in each for each in texts("ResourceSlice", both))
