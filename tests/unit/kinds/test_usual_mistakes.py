"""The mistakes that developers make in the kinds they write most, each with the whole answer, in upstream's words."""

from typing import Any

import pytest

from tests.unit.kinds.judging import refused, refused_change

Json = dict[str, Any]


def pod(**spec: Any) -> Json:
    return {"spec": {"containers": [{"name": "c", "image": "x"}], **spec}}


def container(**fields: Any) -> Json:
    return pod(containers=[{"name": "c", "image": "x", **fields}])


def owner(template: Json | None = None, **spec: Any) -> Json:
    """What Deployments, StatefulSets and DaemonSets have in common."""
    labels = {"a": "b"}
    made = {"metadata": {"labels": labels}, **(template or pod())}
    return {"spec": {"selector": {"matchLabels": labels}, "template": made, **spec}}


def claim(**spec: Any) -> Json:
    return {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}}


def disk(**spec: Any) -> Json:
    return {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], **spec}}


def preferred(*values: str) -> Json:
    term = {"matchExpressions": [{"key": "k", "operator": "In", "values": list(values)}]}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term}]}}


SPREAD = {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway"}
TERM = {"topologyKey": "z", "labelSelector": {}, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"]}
MOUNTED = {"volumeMounts": [{"name": "v", "mountPath": "/d"}], "volumeDevices": [{"name": "v", "devicePath": "/d"}]}
CLAIMED = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "p"}}]}
OWNED: Json = {"volumeClaimTemplate": claim()}
CASES: list[tuple[str, Json, list[str]]] = [
    # Pods
    ("Pod", container(envFrom=[{"configMapRef": {"name": "A"}}]), ["spec.containers[0].envFrom[0].configMapRef.name"]),
    ("Pod", container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a_b", "key": "k"}}}]),
     ["spec.containers[0].env[0].valueFrom.secretKeyRef.name"]),
    ("Pod", container(securityContext={"allowPrivilegeEscalation": False, "capabilities": {"add": ["SYS_ADMIN"]}}), []),
    ("Pod", pod(hostNetwork=True, containers=[
        {"name": "c", "image": "x", "ports": [{"containerPort": 80, "hostPort": 81}]}]),
     ["spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is "
      "true"]),
    ("Pod", pod(hostUsers=False, hostPID=True), ["spec.hostPID: Forbidden: when `pod.Spec.HostUsers` is false"]),
    ("Pod", pod(hostNetwork=True, securityContext={"sysctls": [
        {"name": "net.ipv4.tcp_syncookies", "value": "1"}, {"name": "kernel.shmmax", "value": "1"}]}),
     ['spec.securityContext.sysctls[0].name: Invalid value: "net.ipv4.tcp_syncookies": may not be specified when '
      "'hostNetwork' is true"]),
    ("Pod", container(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "NotRequired"}] * 2),
     ['spec.containers[0].resizePolicy[1]: Duplicate value: "cpu"']),
    ("Pod", container(restartPolicy="Never", restartPolicyRules=[
        {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}] * 21),
     ["spec.containers[0].restartPolicyRules: Too many: 21: must have at most 20 items"]),
    ("Pod", container(resources={"claims": [{"name": "gpu"}]}),
     ['spec.containers[0].resources.claims[0]: Not found: "gpu": must be one of the names in pod.spec.resourceClaims '
      "which is empty"]),
    ("Pod", pod(resourceClaims=[{"name": "gpu"}]),
     ['spec.resourceClaims[0]: Invalid value: {"name":"gpu"}: must specify one of: `resourceClaimName`, '
      "`resourceClaimTemplateName`"]),
    ("Pod", pod(resources={"limits": {"cpu": "1"}}, containers=[
        {"name": "c", "image": "x", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}}]),
     ['spec.resources.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1']),
    ("Pod", pod(**CLAIMED, containers=[{"name": "c", "image": "x", **MOUNTED}]),
     ['spec.containers[0].volumeMounts[0].name: Invalid value: "v": must not already exist in volumeDevices',
      'spec.containers[0].volumeMounts[0].mountPath: Invalid value: "/d": must not already exist as a path in '
      "volumeDevices",
      'spec.containers[0].volumeDevices[0].name: Invalid value: "v": must not already exist in volumeMounts',
      'spec.containers[0].volumeDevices[0].devicePath: Invalid value: "/d": must not already exist as a path in '
      "volumeMounts"]),
    ("Pod", pod(volumes=[{"name": "v", "ephemeral": OWNED},
                         {"name": "w", "persistentVolumeClaim": {"claimName": "x-v"}}]),
     ['spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "x-v": must not reference a PVC that gets '
      "created for an ephemeral volume"]),
    ("Pod", pod(affinity=preferred("no label")), []),
    ("Pod", pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [TERM]}}),
     ["spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[0]: Invalid value: "
      '"a": exists in both matchLabelKeys and mismatchLabelKeys']),
    ("Pod", pod(topologySpreadConstraints=[
        {**SPREAD, "matchLabelKeys": ["a"], "labelSelector": {"matchLabels": {"a": "b"}}}]),
     ['spec.topologySpreadConstraints[0].matchLabelKeys[0]: Invalid value: "a": exists in both matchLabelKeys and '
      "labelSelector"]),
    ("Pod", pod(tolerations=[{"key": "k", "operator": "Exists", "value": "v"}]),
     ['spec.tolerations[0].operator: Invalid value: "v": value must be empty when `operator` is \'Exists\'']),
    ("Pod", pod(volumes=[{"name": "v", "awsElasticBlockStore": {"volumeID": "i", "partition": 256}}]),
     ["spec.volumes[0].awsElasticBlockStore.partition: Invalid value: 256: must be between 1 and 255, inclusive"]),
    # Workloads
    ("StatefulSet", {"metadata": {"name": "a.b"}, **owner()}, ["metadata.name"]),
    ("StatefulSet", owner(updateStrategy={"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
     ['spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: only allowed for updateStrategy '
      "'RollingUpdate'"]),
    ("StatefulSet", owner(pod(activeDeadlineSeconds=5)),
     ["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not Supported"]),
    ("DaemonSet", owner(pod(activeDeadlineSeconds=5)),
     ["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported"]),
    ("DaemonSet", owner(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "0%"}}),
     ["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"]),
    ("DaemonSet", owner(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "101%"}}),
     ['spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%']),
    ("Deployment", owner({"metadata": {"labels": {"a": "b", "c": "d e"}}, **pod()}), ["spec.template.labels"]),
    ("Deployment", {"spec": {"template": {"metadata": {"labels": {"a": "b"}}, **pod()}}},
     ["spec.selector: Required value",
      'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`']),
    ("Pod", container(securityContext={"seccompProfile": {}}),
     ["spec.containers[0].securityContext.seccompProfile.type: Required value: type is required when seccompProfile is "
      "set"]),
    # Others
    ("RoleBinding", {"roleRef": {"name": "a"}, "subjects": [{"name": "b"}]},
     ['roleRef.kind: Unsupported value: "": supported values: "ClusterRole", "Role"',
      'subjects[0].kind: Unsupported value: "": supported values: "Group", "ServiceAccount", "User"']),
    ("Role", {"rules": [{"apiGroups": [""], "resources": ["pods"]}]},
     ["rules[0].verbs: Required value: verbs must contain at least one value"]),
    ("HorizontalPodAutoscaler", {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}}},
     ["spec.maxReplicas: Invalid value: 0: must be greater than 0",
      "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`"]),
    ("LimitRange", {"spec": {}}, []),
    ("CSINode", {"spec": {}}, []),
    ("CSIDriver", {"spec": {"tokenRequests": [{"audience": ""}]}}, []),
    # Services
    ("Service", {"spec": {"clusterIP": "None", "ports": [{"port": 80, "targetPort": "not a name"}]}},
     ["spec.ports[0].targetPort"]),
    ("Service", {"metadata": {"name": "x", "annotations": {
        "service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8, 10.1"}},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}},
     ['metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Invalid value: "10.1": must be a '
      "valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]),
    # Storage
    ("PersistentVolumeClaim", claim(accessModes=[]),
     ["spec.accessModes: Required value: at least 1 access mode is required"]),
    ("PersistentVolumeClaim", claim(accessModes=["RWO"]),
     ['spec.accessModes: Unsupported value: "RWO": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", '
      '"ReadWriteOncePod"']),
    ("PersistentVolume", disk(accessModes=[], hostPath={"path": "/a"}), ["spec.accessModes: Required value"]),
    ("PersistentVolume", disk(local={"path": "/a/../b"}, nodeAffinity={"required": {"nodeSelectorTerms": [{}]}}),
     ['spec.local.path: Invalid value: "/a/../b": must not contain \'..\'']),
    ("PersistentVolume", disk(csi={"driver": "d", "volumeHandle": "h", "nodeStageSecretRef": {"name": "a"}}),
     ["spec.csi.nodeStageSecretRef.namespace: Required value"]),
    ("PersistentVolume", disk(hostPath={"path": "/a"}, volumeAttributesClassName=""),
     ["spec.volumeAttributesClassName: Required value: an empty string is disallowed",
      "spec.csi: Required value: has to be specified when using volumeAttributesClassName"]),
    ("PersistentVolumeClaim", claim(dataSource={"kind": "PersistentVolumeClaim", "name": "a"}, dataSourceRef={
        "kind": "PersistentVolumeClaim", "name": "a", "namespace": "n"}),
     ['spec: Invalid value: "spec.dataSource": may not be specified when dataSourceRef.namespace is specified']),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "found", "faults"), CASES)
def test_a_mistake_is_told(kind: str, found: Json, faults: list[str]) -> None:
    told = refused(kind, found)
    # A name alone stands for a fault of that field whose text is tested elsewhere.
    assert [each if any(each == fault for fault in faults) else each.partition(": ")[0] for each in told] == faults


CLASS = "volume.beta.kubernetes.io/storage-class"


def of_class(name: str, **spec: Any) -> Json:
    return {"metadata": {"name": "x", "annotations": {CLASS: name}}, **claim(**spec)}


CHANGES: list[tuple[Json, Json, str]] = [
    (claim(volumeAttributesClassName="a"), claim(),
     "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"),
    (claim(volumeAttributesClassName="a"), claim(volumeAttributesClassName=""),
     "spec.volumeAttributesClassName: Forbidden: update from non-nil value to an empty string is forbidden"),
    (of_class("a"), of_class("b"), f'metadata.annotations.{CLASS}: Invalid value: "b": field is immutable'),
    (of_class("a"), claim(), f'metadata.annotations.{CLASS}: Invalid value: "": field is immutable'),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fault"), CHANGES)
def test_a_claims_classes_stay(old: Json, new: Json, fault: str) -> None:
    assert fault in refused_change("PersistentVolumeClaim", old, new)


FROZEN = (
    "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for "
    "bound claims"
)
PARTS: list[tuple[Json, Json, str]] = [
    ({}, {"storageClassName": "a"}, ""),
    ({}, {"volumeName": "a"}, ""),
    ({"storageClassName": "a"}, {"storageClassName": "b"}, "storageClassName"),
    ({"storageClassName": "a"}, {}, "storageClassName"),
    ({"volumeName": "a"}, {"volumeName": "b"}, "volumeName"),
    ({}, {"volumeAttributesClassName": "a"}, "volumeAttributesClassName"),
    ({}, {"resources": {"requests": {"storage": "2Gi"}}}, "resources"),
]


@pytest.mark.parametrize(("old", "new", "part"), PARTS)
def test_a_claim_that_waits_stays_but_for_what_it_gets(old: Json, new: Json, part: str) -> None:
    found = refused_change("PersistentVolumeClaim", claim(**old), claim(**new))
    assert found == ([f"{FROZEN}\n(changed: spec.{part})"] if part else [])


def test_a_bound_claim_may_grow_and_change_its_attributes() -> None:
    old, new = claim(), claim(volumeAttributesClassName="a", resources={"requests": {"storage": "2Gi"}})
    bound = {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
    assert refused_change("PersistentVolumeClaim", {**old, **bound}, {**new, **bound}) == []


def test_a_claims_class_may_move_from_the_annotation_to_the_field() -> None:
    assert refused_change("PersistentVolumeClaim", of_class("a"), claim(storageClassName="a")) == []


def test_a_volume_may_get_the_secret_that_it_needs_to_grow() -> None:
    plain = {"driver": "d", "volumeHandle": "h"}
    old, new = disk(csi=plain), disk(csi={**plain, "controllerExpandSecretRef": {"name": "a", "namespace": "b"}})
    assert refused_change("PersistentVolume", old, new) == []
    assert refused_change("PersistentVolume", new, old) == [
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"
    ]
