"""What a write of a pod's status may say, and which annotations of a pod mean something to the server."""

from typing import Any

import pytest

from tests.unit.kinds.judging import refused, refused_change

Json = dict[str, Any]
ENDED_WELL: Json = {"name": "c", "state": {"terminated": {"exitCode": 0}}}
ENDED_BADLY: Json = {"name": "c", "state": {"terminated": {"exitCode": 3}}}
RUNS: Json = {"name": "c", "state": {"running": {}}}
REVIVED = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
COST, MIRROR = "controller.kubernetes.io/pod-deletion-cost", "kubernetes.io/config.mirror"
ARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"


def pod(annotations: Json | None = None, status: Json | None = None, **spec: Any) -> Json:
    container = {"name": "c", "image": "x", **spec.pop("container", {})}
    made: Json = {"metadata": {"name": "x"}, "spec": {"containers": [container], **spec}, "status": status or {}}
    return {**made, "metadata": {"name": "x", "annotations": annotations}} if annotations else made


def changed(before: Json, after: Json, **spec: Any) -> list[str]:
    return refused_change("Pod", pod(status=before, **spec), pod(status=after, **spec), "status")


CHANGES: list[tuple[Json, Json, Json, list[str]]] = [
    ({}, {"containerStatuses": [ENDED_WELL]}, {"containerStatuses": [RUNS]}, []),
    ({"restartPolicy": "Never"}, {"containerStatuses": [RUNS]}, {"containerStatuses": [ENDED_WELL]}, []),
    ({"restartPolicy": "Never"}, {"containerStatuses": [ENDED_BADLY]}, {"containerStatuses": [RUNS]}, [REVIVED]),
    ({"restartPolicy": "OnFailure"}, {"containerStatuses": [ENDED_BADLY]}, {"containerStatuses": [RUNS]}, []),
    ({"restartPolicy": "OnFailure"}, {"containerStatuses": [ENDED_WELL]}, {"containerStatuses": [RUNS]}, [REVIVED]),
    ({"restartPolicy": "Never", "container": {"restartPolicy": "OnFailure"}},
     {"containerStatuses": [ENDED_BADLY]}, {"containerStatuses": [RUNS]}, []),
    ({"restartPolicy": "Never", "container": {"restartPolicy": "Never", "restartPolicyRules": [
        {"action": "Restart", "exitCodes": {"operator": "In", "values": [3]}}]}},
     {"containerStatuses": [ENDED_BADLY]}, {"containerStatuses": [RUNS]}, []),
    ({"restartPolicy": "Never", "initContainers": [{"name": "c", "image": "x", "restartPolicy": "Always"}]},
     {"initContainerStatuses": [ENDED_WELL]}, {"initContainerStatuses": [RUNS]}, []),
    ({}, {"ephemeralContainerStatuses": [ENDED_WELL]}, {"ephemeralContainerStatuses": [RUNS]},
     [REVIVED.replace("containerStatuses", "ephemeralContainerStatuses")]),
    ({}, {"qosClass": "Burstable"}, {"qosClass": "Guaranteed"},
     ['status.qosClass: Invalid value: "Guaranteed": field is immutable']),
    ({}, {}, {"observedGeneration": -1},
     ["status.observedGeneration: Invalid value: -1: must be greater than or equal to 0"]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "before", "after", "found"), CHANGES)
def test_a_status_goes_on_from_the_one_before(spec: Json, before: Json, after: Json, found: list[str]) -> None:
    assert changed(before, after, **spec) == found


FAMILY = "may specify no more than one IP for each IP family"
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
FAULTY: list[tuple[Json, list[str]]] = [
    ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "hostIP": "10.1.0.1", "hostIPs": [{"ip": "10.1.0.1"}]}, []),
    ({"podIPs": [{"ip": "10.0.0.256"}]}, [f'status.podIPs[0]: Invalid value: "10.0.0.256": {IP}']),
    ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]},
     [f'status.podIPs: Invalid value: [{{"ip":"10.0.0.1"}},{{"ip":"10.0.0.2"}}]: {FAMILY}']),
    ({"hostIP": "10.1.0.1", "hostIPs": [{"ip": "10.1.0.2"}]},
     ['status.hostIPs[0].ip: Invalid value: "10.1.0.2": must be equal to `hostIP`']),
    ({"resourceClaimStatuses": [{"name": "none"}]},
     ['status.resourceClaimStatuses[0].name: Invalid value: "none": must match the name of an entry in '
      "`spec.resourceClaims`"]),
    ({"containerStatuses": [{"name": "c", "user": {"linux": {"uid": -1, "gid": 0}}}]},
     ["status.containerStatuses[0].linux.uid: Invalid value: -1: must be between 0 and 2147483647, inclusive"]),
    ({"containerStatuses": [{"name": "c", "allocatedResourcesStatus": [
        {"name": "x.io/gpu", "resources": [{"resourceID": "a", "health": "Fine"}]}]}]},
     ["status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: \"x.io/gpu\": must match one of "
      "the container's resource requests",
      "status.containerStatuses[0].allocatedResourcesStatus[0].resources[0].health: Unsupported value: \"Fine\": "
      'supported values: "Healthy", "Unhealthy", "Unknown"']),
]  # fmt: skip


@pytest.mark.parametrize(("status", "found"), FAULTY)
def test_a_status_is_judged(status: Json, found: list[str]) -> None:
    assert changed({}, status) == found


def test_a_condition_has_a_qualified_name() -> None:
    found = changed({}, {"conditions": [{"type": "x.io/a b", "status": "True"}, {"type": "Ready", "status": "True"}]})
    assert [each.partition(": Invalid value")[0] for each in found] == ["metadata.conditions[0].Type"]


def test_the_metadata_of_a_status_is_judged_too() -> None:
    old, new = pod(), {**pod(), "metadata": {"name": "x", "labels": {"a": "b c"}}}
    assert [each.partition(": Invalid")[0] for each in refused_change("Pod", old, new, "status")] == ["metadata.labels"]


@pytest.mark.parametrize(("cost", "is_good"), [
    ("0", True), ("-5", True), ("2147483647", True), ("-2147483648", True), ("2147483648", False), ("+1", False),
    ("08", False), ("", False), ("-", False), ("1.5", False), ("9" * 5000, False), ("-" + "0" * 5000 + "1", True),
])  # fmt: skip
def test_the_cost_of_a_deletion_is_a_number(cost: str, *, is_good: bool) -> None:
    text = f'metadata.annotations[{COST}]: Invalid value: "{cost}": must be a 32bit integer'
    assert refused("Pod", pod({COST: cost})) == ([] if is_good else [text])


SAID: list[tuple[Json, Json, list[str]]] = [
    ({MIRROR: "h"}, {"nodeName": "n"}, []),
    ({MIRROR: "h"}, {}, [f'[{MIRROR}]: Invalid value: "h": must set spec.nodeName if mirror pod annotation is set']),
    ({SECCOMP: "localhost/a"}, {}, []),
    ({SECCOMP: "x"}, {}, [f'.{SECCOMP}: Invalid value: "x": must be a valid seccomp profile']),
    ({ARMOR + "d": "unconfined"}, {}, [f'[{ARMOR}d]: Invalid value: "d": container not found']),
    ({ARMOR + "c": "x"}, {}, [f'[{ARMOR}c]: Invalid value: "x": invalid AppArmor profile name: "x"']),
]


@pytest.mark.parametrize(("annotations", "spec", "found"), SAID)
def test_annotations_are_judged_in_a_pod_and_in_a_template(annotations: Json, spec: Json, found: list[str]) -> None:
    assert refused("Pod", pod(annotations, **spec)) == [f"metadata.annotations{each}" for each in found]
    given = pod(annotations, **spec)
    template = {"metadata": {"annotations": annotations, "labels": {"a": "b"}}, "spec": given["spec"]}
    made = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    assert refused("Deployment", made) == [f"spec.template.annotations{each}" for each in found]


def test_a_profile_by_annotation_and_by_field_is_one() -> None:
    context = {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}
    assert refused("Pod", pod({SECCOMP: "runtime/default"}, **context)) == []
    assert refused("Pod", pod({SECCOMP: "unconfined"}, **context)) == [
        "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"
    ]
    own = {"container": {"securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": "a"}}}}
    assert refused("Pod", pod({ARMOR + "c": "localhost/b"}, **own)) == [
        "spec.containers[0].securityContext.appArmorProfile.localhostProfile: Forbidden: apparmor profile in "
        "annotation and field must match"
    ]


def test_some_annotations_stay_as_they_are() -> None:
    held = pod({MIRROR: "h", ARMOR + "c": "unconfined"}, nodeName="n")
    assert sorted(refused_change("Pod", held, pod({"a": "b"}, nodeName="n"))) == [
        f"metadata.annotations[{ARMOR}c]: Forbidden: may not remove or update AppArmor annotations",
        f"metadata.annotations[{MIRROR}]: Forbidden: may not remove or update mirror pod annotation",
    ]
    assert refused_change("Pod", pod(), pod({MIRROR: "h"}), "status") == [
        f"metadata.annotations[{MIRROR}]: Forbidden: may not add mirror pod annotation",
        f'metadata.annotations[{MIRROR}]: Invalid value: "h": must set spec.nodeName if mirror pod annotation is set',
    ]
