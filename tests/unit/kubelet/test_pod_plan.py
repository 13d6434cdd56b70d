"""Tables of (pod, what runs, what is remembered) → what to do next."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from knarr.base.backoff import Backoff
from knarr.cri.messages.enums import ContainerState
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import members
from knarr.kubelet.observed import ObservedContainer, ObservedPod, ObservedSandbox
from knarr.kubelet.planned import (
    Act,
    KillContainer,
    PodPlan,
    RemoveContainer,
    RunSandbox,
    StartContainer,
    StopSandbox,
)
from knarr.kubelet.pod_plan import pod_plan
from knarr.kubelet.standing import SANDBOX, Problem, Standing, Stop, Verdicts, kill_key, start_key

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
BOX = ObservedSandbox("box", ips=("10.0.0.2",))
DEAD_BOX = ObservedSandbox("box", is_ready=False)
RUNNING, EXITED = ContainerState.CONTAINER_RUNNING, ContainerState.CONTAINER_EXITED


def pod(deleted: float | None = None, **spec: Any) -> Pod:
    """A pod with one container `c` unless the spec says otherwise; `deleted` is its grace in seconds."""
    body: dict[str, Any] = {
        "metadata": {"name": "web", "namespace": "default", "uid": "u"},
        "spec": {"restartPolicy": "Always", "containers": [{"name": "c", "image": "i"}], **spec},
    }
    if deleted is not None:
        end = NOW + timedelta(seconds=deleted)
        body["metadata"] |= {"deletionTimestamp": end.isoformat(), "deletionGracePeriodSeconds": int(deleted)}
    return msgspec.convert(body, Pod)


def up(name: str = "c", container_id: str = "", *, attempt: int = 0, sandbox: str = "box") -> ObservedContainer:
    return ObservedContainer(container_id or name, name, sandbox, attempt, RUNNING, started_at=NOW)


def ended(
    name: str = "c", code: int = 0, *, attempt: int = 0, ago: float = 0, sandbox: str = "box"
) -> ObservedContainer:
    finished = NOW - timedelta(seconds=ago)
    return ObservedContainer(f"{name}-{attempt}", name, sandbox, attempt, EXITED, finished_at=finished, exit_code=code)


def made(attempt: int = 0, sandbox: str = "box") -> ObservedContainer:
    return ObservedContainer("c", "c", sandbox, attempt, ContainerState.CONTAINER_CREATED)


def pod_told(state: dict[str, Any], *, restarts: int) -> Pod:
    """A pod whose container's status the API has."""
    status = {"name": "c", "containerID": "knarr://c", "restartCount": restarts, "state": state}
    return msgspec.convert(
        {
            "metadata": {"name": "web", "namespace": "default", "uid": "u"},
            "spec": {"restartPolicy": "Always", "containers": [{"name": "c", "image": "i"}]},
            "status": {"containerStatuses": [status]},
        },
        Pod,
    )


def seen(*containers: ObservedContainer, box: ObservedSandbox | None = BOX) -> ObservedPod:
    newest = sorted(containers, key=lambda c: c.attempt, reverse=True)
    return ObservedPod((box,) if box else (), tuple(newest))


def start(name: str = "c", role: Any = "main", attempt: int = 0) -> StartContainer:
    return StartContainer(name, role, attempt)


INITS = [{"name": "first", "image": "i"}, {"name": "proxy", "image": "i", "restartPolicy": "Always"}]
TWO = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
HOOKED = [{"name": "a", "image": "i", "lifecycle": {"postStart": {"sleep": {"seconds": 1}}}}, TWO[1]]
CRASHED_ONCE = {"c": Backoff(1, NOW - timedelta(seconds=5))}

CASES: dict[str, tuple[Pod, ObservedPod, Standing, tuple[Act, ...]]] = {
    "a new pod needs a sandbox": (pod(), seen(box=None), Standing(), (RunSandbox(0),)),
    "one sandbox at a time": (pod(), seen(box=None), Standing(in_flight=frozenset({SANDBOX})), ()),
    "a container that was made and never started makes room": (
        pod(),
        seen(made()),
        Standing(),
        (RemoveContainer("c"),),
    ),
    "what was made in a sandbox that ended makes room too": (
        pod(),
        seen(made(1, "lost"), ended(sandbox="lost", code=137)),
        Standing(),
        (RemoveContainer("c"),),
    ),
    "a pod that is never restarted and did not begin gets another sandbox": (
        pod(restartPolicy="Never"),
        seen(made(), box=DEAD_BOX),
        Standing(),
        (RunSandbox(1),),
    ),
    "the next one has its number, as nothing ran": (
        pod_told({"waiting": {}}, restarts=2),
        seen(),
        Standing(),
        (start(attempt=2),),
    ),
    "a run that the runtime has lost counts": (
        pod_told({"running": {}}, restarts=2),
        seen(),
        Standing(),
        (start(attempt=3),),
    ),
    "a dead sandbox is replaced": (pod(), seen(box=DEAD_BOX), Standing(), (RunSandbox(1),)),
    "what runs in a dead sandbox ends first": (
        pod(terminationGracePeriodSeconds=7),
        seen(up(), box=DEAD_BOX),
        Standing(),
        (KillContainer("c", "c", 7, "Pod sandbox changed, it will be killed and re-created."),),
    ),
    "a failed sandbox waits": (
        pod(),
        seen(box=None),
        Standing(problems={SANDBOX: Problem("ContainerCreating", "", NOW + timedelta(seconds=2))}),
        (),
    ),
    "all main containers start at once": (pod(containers=TWO), seen(), Standing(), (start("a"), start("b"))),
    "a postStart hook holds back the next": (
        pod(containers=HOOKED),
        seen(),
        Standing(in_flight=frozenset({start_key("a")})),
        (),
    ),
    "init containers come first": (pod(initContainers=INITS), seen(), Standing(), (start("first", "init"),)),
    "a running init container holds back the rest": (pod(initContainers=INITS), seen(up("first")), Standing(), ()),
    "a sidecar follows": (pod(initContainers=INITS), seen(ended("first")), Standing(), (start("proxy", "init"),)),
    "a sidecar that has started lets main start": (
        pod(initContainers=INITS),
        seen(ended("first"), up("proxy")),
        Standing(),
        (start(),),
    ),
    "a sidecar with a startup probe that has not passed holds main back": (
        pod(initContainers=[{**INITS[1], "startupProbe": {"exec": {"command": ["x"]}}}]),
        seen(up("proxy")),
        Standing(),
        (),
    ),
    "a sidecar restarts while main runs": (
        pod(initContainers=INITS),
        seen(ended("first"), ended("proxy", 1), up()),
        Standing(),
        (start("proxy", "init", 1),),
    ),
    "init containers do not run again beside main": (
        pod(initContainers=INITS),
        seen(up("proxy"), up()),
        Standing(),
        (),
    ),
    "a failed init container is retried": (
        pod(initContainers=INITS),
        seen(ended("first", 1)),
        Standing(),
        (start("first", "init", 1),),
    ),
    "in a new sandbox init containers run again": (
        pod(initContainers=INITS),
        seen(ended("first", sandbox="old"), ended(sandbox="old", code=137)),
        Standing(),
        (start("first", "init", 1),),
    ),
    "the first restart is immediate": (pod(), seen(ended(code=1)), Standing(), (start(attempt=1),)),
    "the second waits": (pod(), seen(ended(code=1, attempt=1)), Standing(backoffs=CRASHED_ONCE), ()),
    "until it has waited ten seconds": (
        pod(),
        seen(ended(code=1, attempt=1, ago=10)),
        Standing(backoffs=CRASHED_ONCE),
        (start(attempt=2),),
    ),
    "OnFailure lets success be": (
        pod(restartPolicy="OnFailure", containers=TWO),
        seen(ended("a"), ended("b", 1)),
        Standing(),
        (start("b", attempt=1),),
    ),
    "Never lets failure be": (
        pod(restartPolicy="Never", containers=TWO),
        seen(ended("a", 1), up("b")),
        Standing(),
        (),
    ),
    "a container whose start failed waits": (
        pod(),
        seen(),
        Standing(problems={"c": Problem("ErrImagePull", "", NOW + timedelta(seconds=1))}),
        (),
    ),
    "and is tried again": (pod(), seen(), Standing(problems={"c": Problem("ErrImagePull")}), (start(),)),
    "a failed liveness probe kills": (
        pod(),
        seen(up()),
        Standing(probes={"c": Verdicts(failed="liveness")}),
        (KillContainer("c", "c", 30, "Container c failed liveness probe, will be restarted"),),
    ),
    "with the probe's own grace": (
        pod(),
        seen(up()),
        Standing(probes={"c": Verdicts(failed="startup", grace_seconds=3)}),
        (KillContainer("c", "c", 3, "Container c failed startup probe, will be restarted"),),
    ),
    "once": (
        pod(),
        seen(up()),
        Standing(probes={"c": Verdicts(failed="liveness")}, in_flight=frozenset({kill_key("c")})),
        (),
    ),
    "ephemeral containers start beside anything": (
        pod(ephemeralContainers=[{"name": "dbg", "image": "i"}]),
        seen(up()),
        Standing(),
        (start("dbg", "ephemeral"),),
    ),
    "and never again": (
        pod(ephemeralContainers=[{"name": "dbg", "image": "i"}]),
        seen(up(), ended("dbg", 1)),
        Standing(),
        (),
    ),
    "only two generations of a container are kept": (
        pod(),
        seen(up(attempt=2), ended(code=1, attempt=1), ended(code=1)),
        Standing(),
        (RemoveContainer("c-0"),),
    ),
    "a deleted pod's main containers end first": (
        pod(5, initContainers=INITS),
        seen(up("proxy"), up()),
        Standing(kill_at=NOW + timedelta(seconds=5)),
        (KillContainer("c", "c", 5),),
    ),
    "then its sidecars": (
        pod(5, initContainers=INITS),
        seen(up("proxy"), ended()),
        Standing(kill_at=NOW),
        (KillContainer("proxy", "proxy", 2),),
    ),
    "then its sandbox": (pod(5), seen(ended()), Standing(), (StopSandbox("box"),)),
    "a start under way is waited for": (
        pod(5),
        seen(),
        Standing(in_flight=frozenset({start_key("c")})),
        (),
    ),
    "a forced kill still gives a second": (
        pod(0),
        seen(up()),
        Standing(kill_at=NOW),
        (KillContainer("c", "c", 1),),
    ),
    "a pod that must stop is ended": (
        pod(),
        seen(up()),
        Standing(stop=Stop("Evicted", "")),
        (KillContainer("c", "c", 30),),
    ),
    "a pod that succeeded stops its sandbox": (
        pod(restartPolicy="Never"),
        seen(ended()),
        Standing(),
        (StopSandbox("box"),),
    ),
    "a pod whose init container failed for good stops its sandbox": (
        pod(restartPolicy="Never", initContainers=INITS),
        seen(ended("first", 1)),
        Standing(),
        (StopSandbox("box"),),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_next_acts_of_a_pod(name: str) -> None:
    subject, observed, standing, wanted = CASES[name]
    assert pod_plan(subject, observed, standing, NOW).acts == wanted


def test_a_changed_image_restarts_the_container() -> None:
    running = ObservedContainer("c", "c", "box", 0, RUNNING, hash="other")
    plan = pod_plan(pod(), seen(running), Standing(), NOW)
    assert plan.acts == (KillContainer("c", "c", 30, "Container c definition changed, will be restarted"),)
    same = ObservedContainer("c", "c", "box", 0, RUNNING, hash=members.spec_hash(pod().spec.containers[0]))
    assert pod_plan(pod(), seen(same), Standing(), NOW).acts == ()


def test_a_plan_says_when_to_look_again() -> None:
    waits = pod_plan(pod(), seen(ended(code=1, attempt=1)), Standing(backoffs=CRASHED_ONCE), NOW)
    assert waits.again_at == NOW + timedelta(seconds=10)
    assert waits.waiting == (("c", NOW + timedelta(seconds=10)),)
    assert pod_plan(pod(), seen(up()), Standing(), NOW) == PodPlan()


def test_nothing_is_left_to_do_once_all_has_ended() -> None:
    assert pod_plan(pod(0), seen(ended(), box=DEAD_BOX), Standing(), NOW) == PodPlan(is_over=True)
    assert pod_plan(pod(0), seen(box=None), Standing(), NOW) == PodPlan(is_over=True)


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ([{}], "BestEffort"),
        ([{"limits": {"cpu": "1", "memory": "1Mi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "500m"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Mi"}}, {}], "Burstable"),
        ([{"requests": {"memory": "1Mi"}}], "Burstable"),
        ([{"requests": {"nvidia.com/gpu": "1"}}], "BestEffort"),
    ],
)
def test_quality_of_service(resources: list[dict[str, Any]], wanted: str) -> None:
    containers = [{"name": f"c{n}", "image": "i", "resources": r} for n, r in enumerate(resources)]
    assert members.qos_class(pod(containers=containers)) == wanted
