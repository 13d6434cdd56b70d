"""What the API is told about a pod: phases, reasons, conditions, patches."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from knarr.base.backoff import Backoff
from knarr.cri.messages.enums import ContainerState
from knarr.cri.messages.sandbox import LinuxContainerUser
from knarr.kinds.lens.pod import Pod
from knarr.kubelet.observed import ObservedPod
from knarr.kubelet.pod_status import pod_status, status_patch, with_final_ends
from knarr.kubelet.standing import Problem, Standing, Stop, Verdicts, start_key
from tests.unit.kubelet.test_pod_plan import INITS, NOW, TWO, ended, pod, seen, up

Json = dict[str, Any]


def status(subject: Pod, observed: ObservedPod, standing: Standing | None = None) -> Json:
    return pod_status(subject, observed, standing or Standing(), NOW, runtime="mem", host_ip="192.0.2.1")


def condition(found: Json, name: str) -> Json:
    chosen = next(c for c in found["conditions"] if c["type"] == name)
    return {key: chosen[key] for key in ("status", "reason", "message") if key in chosen}


PHASES: dict[str, tuple[Pod, ObservedPod, str]] = {
    "nothing yet": (pod(), seen(box=None), "Pending"),
    "running": (pod(), seen(up()), "Running"),
    "one of two": (pod(containers=TWO), seen(up("a")), "Pending"),
    "init runs": (pod(initContainers=INITS), seen(up("first")), "Pending"),
    "sidecar and main run": (pod(initContainers=INITS), seen(ended("first"), up("proxy"), up()), "Running"),
    "between restarts": (pod(), seen(ended(code=1)), "Running"),
    "all succeeded": (pod(restartPolicy="Never"), seen(ended()), "Succeeded"),
    "OnFailure, all succeeded": (pod(restartPolicy="OnFailure"), seen(ended()), "Succeeded"),
    "OnFailure, failed": (pod(restartPolicy="OnFailure"), seen(ended(code=1)), "Running"),
    "one failed for good": (pod(restartPolicy="Never", containers=TWO), seen(ended("a", 1), ended("b")), "Failed"),
    "init failed for good": (pod(restartPolicy="Never", initContainers=INITS), seen(ended("first", 1)), "Failed"),
    "main is done, its sidecar is not": (
        pod(restartPolicy="Never", initContainers=INITS),
        seen(ended("first"), up("proxy"), ended()),
        "Running",
    ),
}


@pytest.mark.parametrize("name", PHASES)
def test_the_phase_of_a_pod(name: str) -> None:
    subject, observed, wanted = PHASES[name]
    assert status(subject, observed)["phase"] == wanted


def test_a_container_tells_its_mounts_and_whom_it_runs_as() -> None:
    mounts = [
        {"name": "a", "mountPath": "/a"},
        {"name": "b", "mountPath": "/b", "readOnly": True},
        {"name": "c", "mountPath": "/c", "readOnly": True, "recursiveReadOnly": "IfPossible"},
    ]
    subject = pod(containers=[{"name": "c", "image": "i", "volumeMounts": mounts}])
    found = status(subject, seen(replace(up(), user=LinuxContainerUser(uid=7, gid=8, supplemental_groups=(8, 9)))))
    told = found["containerStatuses"][0]
    assert told["user"] == {"linux": {"uid": 7, "gid": 8, "supplementalGroups": [8, 9]}}
    assert told["volumeMounts"] == [
        {"name": "a", "mountPath": "/a"},
        {"name": "b", "mountPath": "/b", "readOnly": True, "recursiveReadOnly": "Disabled"},
        {"name": "c", "mountPath": "/c", "readOnly": True, "recursiveReadOnly": "Enabled"},
    ]
    old = pod_status(subject, seen(), Standing(), NOW, runtime="mem", host_ip="192.0.2.1", can_recurse=False)
    assert old["containerStatuses"][0]["volumeMounts"][2]["recursiveReadOnly"] == "Disabled"


def test_a_crash_loop_is_a_waiting_state_with_the_last_end_beside_it() -> None:
    standing = Standing(backoffs={"c": Backoff(4, NOW - timedelta(seconds=1))}, messages={"c-4": "why\n"})
    found = status(pod(), seen(ended(code=3, attempt=4)), standing)["containerStatuses"][0]
    text = "back-off 1m20s restarting failed container=c pod=web_default(u)"
    assert found["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": text}}
    assert found["lastState"]["terminated"]["exitCode"] == 3
    assert found["lastState"]["terminated"]["message"] == "why\n"
    assert (found["restartCount"], found["ready"], found["started"]) == (4, False, False)


def test_a_container_killed_for_memory_says_so() -> None:
    killed = replace(ended(code=137), reason="OOMKilled")
    found = status(pod(restartPolicy="Never"), seen(killed))["containerStatuses"][0]
    assert found["state"]["terminated"]["reason"] == "OOMKilled"


def test_a_container_that_could_not_start_did_not_begin_in_1970() -> None:
    refused = replace(ended(code=128), reason="StartError", started_at=None)
    unknown = replace(refused, state=ContainerState.CONTAINER_UNKNOWN, finished_at=None)
    at = "2030-01-01T12:00:00Z"
    for seen_so, wanted in ((refused, {"startedAt": at, "finishedAt": at}), (unknown, {})):
        found = status(pod(restartPolicy="Never"), seen(seen_so))["containerStatuses"][0]["state"]["terminated"]
        assert {key: value for key, value in found.items() if key.endswith("At")} == wanted


def test_a_start_that_failed_is_an_end_like_any_other_once_it_is_backed_off_or_final() -> None:
    refused = replace(ended(code=128), reason="StartError")
    problem = {"c": Problem("RunContainerError", "no such program")}

    def state(subject: Pod, standing: Standing) -> tuple[str, str]:
        found = status(subject, seen(refused), standing)["containerStatuses"][0]["state"]
        ((kind, rest),) = found.items()
        return kind, rest["reason"]

    assert state(pod(), Standing(problems=problem)) == ("waiting", "RunContainerError")
    backed_off = Standing(problems=problem, backoffs={"c": Backoff(1, NOW)})
    assert state(pod(), backed_off) == ("waiting", "CrashLoopBackOff")
    assert state(pod(restartPolicy="Never"), Standing(problems=problem)) == ("terminated", "StartError")
    starting = Standing(problems=problem, in_flight=frozenset({start_key("c")}))
    assert state(pod(restartPolicy="Never"), starting) == ("waiting", "RunContainerError")


def test_a_container_waits_for_its_hook_its_image_or_its_turn() -> None:
    hook = Standing(in_flight=frozenset({start_key("c")}))
    assert status(pod(), seen(up()), hook)["containerStatuses"][0]["state"] == {
        "waiting": {"reason": "ContainerCreating"}
    }
    pull = Standing(problems={"c": Problem("ImagePullBackOff", "later")})
    assert status(pod(), seen(), pull)["containerStatuses"][0]["state"] == {
        "waiting": {"reason": "ImagePullBackOff", "message": "later"}
    }
    turn = status(pod(initContainers=INITS), seen(up("first")))
    assert turn["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_conditions_name_the_containers_at_fault() -> None:
    found = status(pod(containers=TWO), seen(up("a")))
    text = {"reason": "ContainersNotReady", "message": "containers with unready status: [b]", "status": "False"}
    assert condition(found, "ContainersReady") == condition(found, "Ready") == text
    assert condition(found, "PodReadyToStartContainers") == {"status": "True"}
    done = status(pod(restartPolicy="Never"), seen(ended()))
    assert condition(done, "Ready") == {"status": "False", "reason": "PodCompleted"}
    assert condition(done, "Initialized") == {"status": "True", "reason": "PodCompleted"}


def test_readiness_needs_probe_and_gates() -> None:
    probed = pod(containers=[{"name": "c", "image": "i", "readinessProbe": {"tcpSocket": {"port": 1}}}])
    assert not status(probed, seen(up()))["containerStatuses"][0]["ready"]
    passed = Standing(probes={"c": Verdicts()})
    assert status(probed, seen(up()), passed)["containerStatuses"][0]["ready"]
    gated = pod(readinessGates=[{"conditionType": "example.com/up"}])
    assert condition(status(gated, seen(up())), "Ready") == {
        "status": "False",
        "reason": "ReadinessGatesNotReady",
        "message": 'corresponding condition of pod readiness gate "example.com/up" does not exist.',
    }


def test_a_stopped_pod_fails_only_when_nothing_runs() -> None:
    standing = Standing(stop=Stop("Evicted", "too big"))
    assert status(pod(), seen(up()), standing)["phase"] == "Running"
    over = status(pod(), seen(ended(code=143)), standing)
    assert (over["phase"], over["reason"], over["message"]) == ("Failed", "Evicted", "too big")
    assert condition(over, "DisruptionTarget") == {
        "status": "True",
        "reason": "TerminationByKubelet",
        "message": "too big",
    }


def test_an_unchanged_status_needs_no_patch_and_a_condition_keeps_its_time() -> None:
    first = status(pod(), seen(up()))
    assert status_patch({}, first, "u") is not None
    known = msgspec.convert({"metadata": {"name": "web", "uid": "u"}, "spec": {"containers": []}, "status": first}, Pod)
    again = pod_status(
        msgspec.structs.replace(pod(), status=known.status),
        seen(up()),
        Standing(),
        NOW + timedelta(hours=1),
        runtime="mem",
        host_ip="192.0.2.1",
    )
    assert status_patch(first, again, "u") is None


def test_a_patch_takes_back_what_no_longer_holds() -> None:
    before = status(pod(), seen())
    after = status(pod(), seen(up()))
    patch = status_patch(before, after, "u")
    assert patch is not None
    ready = next(c for c in patch["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("True", None, None)
    assert [c["type"] for c in patch["status"]["conditions"]] == ["Ready", "ContainersReady"]


@pytest.mark.parametrize(("policy", "code", "is_kept"), [("OnFailure", 0, True), ("OnFailure", 1, False),
                                                         ("Never", 1, True), ("Always", 0, False)])  # fmt: skip
def test_an_end_that_the_api_lets_nobody_take_back_is_told_until_the_next_one(
    policy: str, code: int, *, is_kept: bool
) -> None:
    subject = pod(restartPolicy=policy, initContainers=[{"name": "first", "image": "i"}])
    before = status(subject, seen(ended("first", code)))
    begun = status(subject, seen(up("first", attempt=1), ended("first", code)))
    again = status(subject, seen(ended("first", 7, attempt=1), ended("first", code)))
    kept = with_final_ends(subject, before, begun)
    assert kept["initContainerStatuses"] == (before if is_kept else begun)["initContainerStatuses"]
    assert {**kept, "initContainerStatuses": []} == {**begun, "initContainerStatuses": []}
    assert with_final_ends(subject, before, again) == again
