"""Objects with one fault each, as the API shows them, for the tests of knarr.diagnosis."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from knarr.diagnosis.scene import Json, Scene

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
RECENTLY, LONG_AGO = "2030-01-01T11:59:50Z", "2030-01-01T08:00:00Z"
IMAGE = "registry.example/shop/web:1"


def metadata(kind: str, name: str, owner: Json | None = None, **more: Any) -> Json:
    owners = [{"uid": owner["metadata"]["uid"], "controller": True}] if owner else []
    return {"name": name, "namespace": "shop", "uid": f"uid-{kind}-{name}", "ownerReferences": owners, **more}


def made(kind: str, name: str = "web", owner: Json | None = None, **members: Any) -> Json:
    """An object of any kind; `meta` adds to its metadata."""
    return {"kind": kind, "metadata": metadata(kind, name, owner, **members.pop("meta", {})), **members}


def pod(
    state: Json | None = None,
    last: Json | None = None,
    *,
    spec: Json | None = None,
    container: Json | None = None,
    ready: bool = False,
    phase: str = "Running",
    is_init: bool = False,
    **more: Any,
) -> Json:
    """A pod on node vm with the container `c` in that state; `more` goes to made()."""
    status = {"name": "c", "state": state or {}, "lastState": last or {}, "ready": ready, "restartCount": 3}
    status |= {"started": ready}
    specs, statuses = ("initContainers", "initContainerStatuses") if is_init else ("containers", "containerStatuses")
    main: Json = {"name": "c", "image": IMAGE, **(container or {})}
    shown = [{"type": "Ready", "status": "True" if ready else "False"}, *more.pop("conditions", ())]
    return made(
        "Pod",
        more.pop("name", "web"),
        spec={"nodeName": "vm", specs: [main], **(spec or {})},
        status={"phase": phase, statuses: [status], "conditions": shown, **more.pop("status", {})},
        **more,
    )


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def terminated(code: int, reason: str = "Error", finished: str = RECENTLY, message: str = "") -> Json:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": finished, "message": message}}


RUNNING: Json = {"running": {"startedAt": RECENTLY}}
CRASH_LOOP = waiting("CrashLoopBackOff", "back-off 10s restarting failed container=c pod=web_shop(uid-web)")


def crashed(code: int, reason: str = "Error", **more: Any) -> Json:
    return pod(CRASH_LOOP, terminated(code, reason), **more)


def pending(message: str = "", **spec: Any) -> Json:
    """A pod without a node, and what the scheduler said."""
    told = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    return pod(phase="Pending", conditions=told if message else (), spec={"nodeName": "", **spec})


def pull(message: str, **more: Any) -> Json:
    text = f'Back-off pulling image "{IMAGE}": ErrImagePull: failed to pull image "{IMAGE}": {message}'
    return pod(waiting("ImagePullBackOff", text), phase="Pending", **more)


def event(about: Json, reason: str, message: str, at: str = RECENTLY, path: str = "") -> Json:
    involved = {"kind": about["kind"], "name": about["metadata"]["name"], "uid": about["metadata"]["uid"]}
    return {
        "kind": "Event",
        "involvedObject": {**involved, **({"fieldPath": path} if path else {})},
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


def node(name: str = "vm", ready: str = "True", spec: Json | None = None, **labels: str) -> Json:
    status = {
        "conditions": [{"type": "Ready", "status": ready, "reason": "NodeStatusUnknown" if ready != "True" else "Ok"}],
        "allocatable": {"cpu": "2", "memory": "1Gi", "pods": "110"},
    }
    return {"kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec or {}, "status": status}


def scene(subject: Json, *around: Json, log: Sequence[str] = ()) -> Scene:
    """The subject among the given objects; `log` are the last lines of container `c` of every pod."""
    lists: dict[str, list[Json]] = {}
    for each in around:
        lists.setdefault(each["kind"], []).append(each)
    pods = [each for each in (subject, *around) if each["kind"] == "Pod"]
    return Scene(subject, lists, {(each["metadata"]["name"], "c"): log for each in pods if log}, NOW)


def condition(type_: str, status: str = "True", reason: str = "", message: str = "") -> Json:
    return {"type": type_, "status": status, "reason": reason, "message": message}


def deployment(spec: Json | None = None, status: Json | None = None) -> Json:
    return made("Deployment", spec={"replicas": 2, **(spec or {})}, status=status or {})


def short_of(kind: str = "ReplicaSet", owner: Json | None = None) -> Json:
    """A creator with fewer pods than its spec asks for."""
    return made(kind, "web-1", owner, spec={"replicas": 2}, status={"replicas": 0})
