"""Validation in upstream's words: the schema's checks, rules across fields, immutability."""

from typing import Any

import pytest

from knarr.kinds import registry, validating, walks
from knarr.kinds.registry import Kind

Json = dict[str, Any]


def kind(name: str) -> Kind:
    row = next(r for r in registry.facts("kinds")["kinds"] if r["kind"] == name and r["stage"] == "ga")
    return registry.row(row["group"], row["version"], name)


def texts(name: str, obj: Json) -> list[str]:
    row = kind(name)
    whole = walks.defaulted(row, {"metadata": {"name": "x"}, **obj})
    return [f"{cause.field}: {cause.message}" for cause in validating.create_faults(row, whole)]


def pod_spec(**spec: Any) -> Json:
    return {"containers": [{"name": "c", "image": "x:1"}], **spec}


def container(**fields: Any) -> Json:
    return {"spec": {"containers": [{"name": "c", "image": "x:1", **fields}]}}


def workload(**spec: Any) -> Json:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod_spec()}
    return {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}}


def claimed() -> Json:
    """A StatefulSet whose pods mount what a claim template gives them."""
    spec = pod_spec()
    spec["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    return workload(template=template, volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {}}])


CASES: list[tuple[str, Json, str]] = [
    ("Deployment", workload(replicas=-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    (
        "Deployment",
        {"spec": {"selector": {"matchLabels": {"a": "b"}}}},
        "spec.template.spec.containers: Required value",
    ),
    ("Deployment", {"spec": {"template": {"spec": pod_spec()}}}, "spec.selector: Required value"),
    (
        "Deployment",
        workload(selector={"matchLabels": {"a": "c"}}),
        'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`',
    ),
    ("Deployment", workload(selector={}), "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
    (
        "Deployment",
        workload(strategy={"type": "Blue"}),
        'spec.strategy.type: Unsupported value: "Blue": supported values: "Recreate", "RollingUpdate"',
    ),
    (
        "Deployment",
        workload(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
    ),
    (
        "Deployment",
        workload(strategy={"type": "Recreate", "rollingUpdate": {}}),
        "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ),
    (
        "Deployment",
        workload(template={"metadata": {"labels": {"a": "b"}}, "spec": pod_spec(restartPolicy="Never")}),
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ),
    (
        "Pod",
        container(imagePullPolicy="Maybe"),
        'spec.containers[0].imagePullPolicy: Unsupported value: "Maybe": supported values: "Always", "IfNotPresent"',
    ),
    ("Pod", container(image=""), "spec.containers[0].image: Required value"),
    (
        "Pod",
        container(ports=[{"containerPort": 70000}]),
        "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
    ),
    (
        "Pod",
        container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        'spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ),
    (
        "Pod",
        container(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
        'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ),
    (
        "Pod",
        container(readinessProbe={"periodSeconds": 1}),
        "spec.containers[0].readinessProbe: Required value: must specify a handler type",
    ),
    (
        "Pod",
        container(livenessProbe={"exec": {"command": ["a"]}, "successThreshold": 2}),
        "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
    ),
    (
        "Pod",
        {"spec": {"containers": [{"name": "c", "image": "x"}, {"name": "c", "image": "y"}]}},
        'spec.containers[1].name: Duplicate value: "c"',
    ),
    (
        "Pod",
        {"spec": pod_spec(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}])},
        "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
    ),
    (
        "Pod",
        {"spec": pod_spec(tolerations=[{"operator": "Equal", "value": "x"}])},
        'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty',
    ),
    ("Pod", {"spec": pod_spec(), "metadata": {}}, "metadata.name: Required value: name or generateName is required"),
    ("ConfigMap", {"data": {"a b": "x"}}, 'data[a b]: Invalid value: "a b": a valid config key must consist of'),
    ("ConfigMap", {"data": {"a": "x" * 1_100_000}}, ": Too long: may not be more than 1048576 bytes"),
    ("Secret", {"type": "kubernetes.io/tls"}, "data[tls.crt]: Required value"),
    ("Service", {"spec": {}}, "spec.ports: Required value"),
    ("Service", {"spec": {"ports": [{"port": 80}, {"port": 81}]}}, "spec.ports[0].name: Required value"),
    (
        "Service",
        {"spec": {"ports": [{"port": 0}]}},
        "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
    ),
    (
        "Service",
        {"metadata": {"name": "1a"}, "spec": {"ports": [{"port": 1}]}},
        'metadata.name: Invalid value: "1a": a DNS-1035 label',
    ),
    (
        "Job",
        {"spec": {"template": {"spec": pod_spec()}}},
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ),
    (
        "CronJob",
        {"spec": {"schedule": "* *", "jobTemplate": {"spec": {"template": {"spec": pod_spec(restartPolicy="Never")}}}}},
        'spec.schedule: Invalid value: "* *": expected exactly 5 fields, found 2',
    ),
    (
        "CronJob",
        {"spec": {"schedule": "* * * * *", "timeZone": "Nowhere/X"}},
        'spec.timeZone: Invalid value: "Nowhere/X": unknown time zone',
    ),
    (
        "HorizontalPodAutoscaler",
        {"spec": {"maxReplicas": 0}},
        "spec.maxReplicas: Invalid value: 0: must be greater than 0",
    ),
    (
        "PodDisruptionBudget",
        {"spec": {"minAvailable": 1, "maxUnavailable": 1}},
        "minAvailable and maxUnavailable cannot be both set",
    ),
    ("Role", {"rules": [{"apiGroups": [""], "resources": ["pods"]}]}, "rules[0].verbs: Required value"),
    ("RoleBinding", {"roleRef": {"kind": "Rolle", "name": "r"}}, 'roleRef.kind: Unsupported value: "Rolle"'),
    ("Ingress", {"spec": {}}, "either `defaultBackend` or `rules` must be specified"),
    ("PersistentVolumeClaim", {"spec": {}}, "spec.accessModes: Required value: at least 1 access mode is required"),
    ("Namespace", {"metadata": {"name": "a.b"}}, 'metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label'),
    (
        "ConfigMap",
        {"metadata": {"name": "x", "labels": {"a": "b c"}}},
        'metadata.labels: Invalid value: "b c": a valid label',
    ),
    ("ConfigMap", {"metadata": {"name": "x", "finalizers": ["mine"]}}, "nor is it fully qualified"),
    (
        "ConfigMap",
        {"metadata": {"name": "x", "annotations": {"a": "x" * 300_000}}},
        "metadata.annotations: Too long: may not be more than 262144 bytes",
    ),
]


@pytest.mark.parametrize(("name", "obj", "text"), CASES, ids=[f"{case[0]}: {case[2][:50]}" for case in CASES])
def test_a_fault_is_named_as_upstream_names_it(name: str, obj: Json, text: str) -> None:
    found = texts(name, obj)
    assert any(text in each for each in found), found


GOOD: list[tuple[str, Json]] = [
    ("Deployment", workload()),
    ("StatefulSet", workload(serviceName="s")),
    ("StatefulSet", claimed()),
    ("DaemonSet", workload()),
    ("ReplicaSet", workload()),
    ("Pod", container(ports=[{"containerPort": 80}], readinessProbe={"httpGet": {"port": "http"}})),
    ("Service", {"spec": {"ports": [{"port": 80, "targetPort": "http"}]}}),
    ("Service", {"spec": {"clusterIP": "None"}}),
    ("Service", {"spec": {"type": "ExternalName", "externalName": "example.com"}}),
    ("Job", {"spec": {"template": {"spec": pod_spec(restartPolicy="Never")}}}),
    ("ConfigMap", {"data": {"a.b-c_D": "x"}}),
    ("Role", {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
    ("ClusterRole", {"metadata": {"name": "system:node"}, "rules": []}),
    ("RoleBinding", {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]}),
    ("Namespace", {}),
    ("Event", {"involvedObject": {"kind": "Pod", "name": "x"}}),
    ("Lease", {"spec": {"holderIdentity": "n"}}),
    ("EndpointSlice", {"addressType": "IPv4", "endpoints": []}),
]


@pytest.mark.parametrize(("name", "obj"), GOOD, ids=[each[0] for each in GOOD])
def test_what_upstream_accepts_is_accepted(name: str, obj: Json) -> None:
    assert texts(name, obj) == []


def changed(name: str, old: Json, new: Json, subresource: str = "") -> list[str]:
    row = kind(name)
    pair = [walks.defaulted(row, {"metadata": {"name": "x"}, **each}) for each in (new, old)]
    return [f"{cause.field}: {cause.message}" for cause in validating.update_faults(row, *pair, subresource)]


def test_a_selector_is_immutable() -> None:
    new = workload(selector={"matchLabels": {"a": "c"}})
    new["spec"]["template"] = {"metadata": {"labels": {"a": "c"}}, "spec": pod_spec()}
    assert changed("Deployment", workload(), new) == [
        'spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable'
    ]


def test_a_pod_may_change_its_image_and_little_else() -> None:
    assert changed("Pod", container(), container(image="x:2")) == []
    found = changed("Pod", container(), container(command=["x"]))
    assert found[0].startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
    )
    small, large = (container(resources={"limits": {"cpu": amount}}) for amount in ("1", "2"))
    assert changed("Pod", small, large, "resize") == []


def test_tolerations_are_only_added() -> None:
    one = [{"key": "a", "operator": "Exists"}]
    assert changed("Pod", {"spec": pod_spec()}, {"spec": pod_spec(tolerations=one)}) == []
    assert changed("Pod", {"spec": pod_spec(tolerations=one)}, {"spec": pod_spec()})


def test_an_immutable_config_map_stays_as_it_is() -> None:
    old = {"data": {"a": "1"}, "immutable": True}
    assert changed("ConfigMap", old, {"data": {"a": "2"}, "immutable": True}) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]
    assert changed("ConfigMap", old, {**old, "metadata": {"name": "x", "labels": {"a": "b"}}}) == []


def test_a_stateful_set_scales_but_keeps_its_service() -> None:
    assert changed("StatefulSet", workload(serviceName="s"), workload(serviceName="s", replicas=3)) == []
    found = changed("StatefulSet", workload(serviceName="s"), workload(serviceName="t"))
    assert found[0].startswith("spec: Forbidden: updates to statefulset spec for fields other than 'replicas'")


def test_a_binding_keeps_its_role() -> None:
    old = {"roleRef": {"kind": "Role", "name": "r"}}
    assert "cannot change roleRef" in changed("RoleBinding", old, {"roleRef": {"kind": "Role", "name": "s"}})[0]


def test_a_service_may_be_given_an_address_but_not_another() -> None:
    ports = {"ports": [{"port": 80}]}
    assert changed("Service", {"spec": ports}, {"spec": {**ports, "clusterIP": "10.0.0.1"}}) == []
    old = {"spec": {**ports, "clusterIP": "10.0.0.1"}}
    assert changed("Service", old, {"spec": {**ports, "clusterIP": "10.0.0.2"}}) == [
        'spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'
    ]


def test_no_finalizer_is_added_to_what_is_being_deleted() -> None:
    row = kind("ConfigMap")
    old = {"metadata": {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]}}
    new = {"metadata": {**old["metadata"], "finalizers": ["a/b", "c/d"]}}
    assert "no new finalizers can be added" in validating.update_faults(row, new, old)[0].message


def test_of_a_status_only_counts_are_judged() -> None:
    new = {**workload(replicas=-1), "status": {"replicas": -1, "readyReplicas": 1}}
    assert changed("Deployment", workload(), new, "status") == [
        "status.replicas: Invalid value: -1: must be greater than or equal to 0",
        "status.readyReplicas: Invalid value: 1: cannot be greater than status.replicas",
    ]


def test_a_stateful_set_with_a_name_of_old_can_lose_its_finalizer() -> None:
    old = workload(serviceName="s") | {"metadata": {"name": "a.b", "finalizers": ["x.io/a"]}}
    assert texts("StatefulSet", old)[0].startswith('metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label')
    assert changed("StatefulSet", old, old | {"metadata": {"name": "a.b"}}) == []
    assert changed("StatefulSet", old, old | {"metadata": {"name": "a.b", "labels": {"a": "b"}}}, "status") == []
    (renamed,) = changed("StatefulSet", old, old | {"metadata": {"name": "c.d"}})
    assert renamed == 'metadata.name: Invalid value: "c.d": field is immutable'


RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
MODE = "service.kubernetes.io/topology-mode"
BALANCER: Json = {"spec": {"type": "LoadBalancer", "ports": [{"port": 1}], "clusterIP": "10.0.0.1"}}
TOKEN: Json = {"type": "kubernetes.io/service-account-token"}
ACCOUNT = "kubernetes.io/service-account.name"
ANNOTATED: list[tuple[str, Json, Json, str]] = [
    ("Service", BALANCER, {RANGES: "nonsense"}, f'metadata.annotations[{RANGES}]: Invalid value: "nonsense": '),
    ("Service", BALANCER, {MODE: "Auto", "service.kubernetes.io/topology-aware-hints": "Disabled"},
     f'metadata.annotations[{MODE}]: Invalid value: "Auto": must match '),
    ("Secret", TOKEN, {"other": "x"}, f"metadata.annotations[{ACCOUNT}]: Required value"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "annotations", "text"), ANNOTATED)
def test_a_change_of_annotations_alone_is_judged(name: str, obj: Json, annotations: Json, text: str) -> None:
    old = obj | {"metadata": {"name": "x", "annotations": {ACCOUNT: "a"}}}
    (found,) = changed(name, old, obj | {"metadata": {"name": "x", "annotations": annotations}})
    assert found.startswith(text)
    assert changed(name, old, obj | {"metadata": {"name": "x", "annotations": {ACCOUNT: "b"}}}) == []


@pytest.mark.parametrize(("prefix", "is_name"), [("web-", True), ("-", False), ("web--", True), ("web---", True),
                                                 ("web.-", True), ("--", True)])  # fmt: skip
def test_a_prefix_is_judged_as_the_begin_of_a_name(prefix: str, *, is_name: bool) -> None:
    found = texts("ConfigMap", {"metadata": {"name": "x", "generateName": prefix}})
    assert [text.startswith("metadata.generateName: Invalid value") for text in found] == [True] * (not is_name)
