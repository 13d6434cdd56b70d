"""Seeded faults of pods and their containers: a scene, the rule that must answer first, words of cause and evidence."""

from dataclasses import dataclass

from knarr.diagnosis.scene import Json, Scene
from tests.unit.diagnosis.scenery import (
    CRASH_LOOP,
    RUNNING,
    crashed,
    event,
    node,
    pending,
    pod,
    pull,
    scene,
    terminated,
    waiting,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong (the test's name), the scene, the first answer's rule, and words of its cause and its evidence."""

    name: str
    scene: Scene
    rule: str
    cause: str
    evidence: str = ""


HOOKED = crashed(137)
HOOK_SAID = "PostStartHook failed: command 'sh -c exit 3' exited with 3"


def probed(which: str, said: str, key: str, probe: Json, *, state: Json = RUNNING, last: Json | None = None) -> Scene:
    """A container whose probe failed with that message."""
    subject = pod(state, last, container={key: probe})
    path = "spec.containers{c}"
    killed = event(subject, "Killing", f"Container c failed {which.lower()} probe, will be restarted", path=path)
    failed = event(subject, "Unhealthy", f"{which} probe failed: {said}", path=path)
    return scene(subject, failed, *([killed] if last else []))


def mount(message: str) -> Scene:
    subject = pod(waiting("ContainerCreating"), phase="Pending")
    return scene(subject, event(subject, "FailedMount", f'MountVolume.SetUp failed for volume "v" : {message}'))


def config(message: str) -> Scene:
    return scene(pod(waiting("CreateContainerConfigError", message), phase="Pending"))


def refused_start(message: str) -> Scene:
    return scene(pod(waiting("RunContainerError", message), terminated(128, "StartError", message=message)))


HTTP: Json = {"httpGet": {"path": "/healthz", "port": 8080}}
BIG: Json = {"name": "c", "resources": {"requests": {"cpu": "3", "memory": "2Gi"}}}
SMALL: Json = {"name": "c", "resources": {"requests": {"cpu": "1500m"}}}
PORTED: Json = {"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]}
NODES = "0/1 nodes are available: 1 "
other = pod(RUNNING, ready=True, name="other", spec={"nodeName": "vm", "containers": [{**SMALL, **PORTED}]})
lost = node(ready="Unknown")
tainted = node(spec={"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]})

PULLS = (
    Fault("wrong image name", scene(pull("repository name not known to registry")), "not_pulled", "there is no image"),
    Fault("image tag missing", scene(pull("manifest unknown")), "not_pulled", "no such tag", "manifest unknown"),
    Fault("image nobody has", scene(pull("no such image: not found")), "not_pulled", "there is no image"),
    Fault("registry unreachable", scene(pull("dial tcp: Connection refused")), "not_pulled", "cannot be reached"),
    Fault("registry times out", scene(pull("i/o timeout")), "not_pulled", "registry registry.example cannot"),
    Fault("registry unknown", scene(pull("lookup registry.example: no such host")), "not_pulled", "does not resolve"),
    Fault(
        "pull secret missing", scene(pull("401 Unauthorized")), "not_pulled", "credentials", "imagePullSecrets: none"
    ),
    Fault(
        "image of another platform", scene(pull("no matching manifest for linux/amd64")), "not_pulled", "architecture"
    ),
    Fault("full disk", scene(pull("write: no space left on device")), "not_pulled", "disk is full"),
    Fault("never pulled", scene(pod(waiting("ErrImageNeverPull", "not present"))), "never_pulled", "forbids pulling"),
    Fault(
        "image name invalid", scene(pod(waiting("InvalidImageName", "bad"))), "invalid_name", "not a valid image name"
    ),
)
CONFIGURATION = (
    Fault("no ConfigMap for env", config('configmap "cfg" not found'), "missing_source", "ConfigMap 'cfg'"),
    Fault("no Secret for env", config('secret "key" not found'), "missing_source", "Secret 'key'"),
    Fault("no key for env", config("couldn't find key k in ConfigMap shop/cfg"), "missing_key", "has no key 'k'"),
    Fault(
        "no ConfigMap for a volume", mount('configmap "cfg" not found'), "volume_source", "volume 'v' needs the Conf"
    ),
    Fault("no Secret for a volume", mount('secret "key" not found'), "volume_source", "Secret 'key'"),
    Fault("no key for a volume", mount("references non-existent config key: k"), "volume_source", "the key 'k'"),
    Fault("no claim for a volume", mount('persistentvolumeclaim "db" not found'), "volume_source", "claim 'db'"),
    Fault("any other volume", mount("no such device"), "volume_source", "cannot be set up", "no such device"),
    Fault(
        "volume of a type that is not there yet",
        mount("knarr does not mount volumes of type persistentVolumeClaim yet: use emptyDir or hostPath"),
        "volume_source",
        "volume 'v' is of a type that knarr does not mount yet",
        "persistentVolumeClaim",
    ),
    Fault("runs as root", config("container has runAsNonRoot and image will run as root"), "runs_as_root", "as root"),
    Fault("any other refusal", config("invalid mount"), "not_made", "cannot be created", "invalid mount"),
    Fault(
        "program not in the image",
        refused_start("executable file `nope` not found in $PATH: No such file or directory"),
        "program_missing",
        "not in its image: nope",
        "nope",
    ),
    Fault(
        "program not in the image, as runc says it",
        refused_start('exec: "slep": executable file not found in $PATH: unknown'),
        "program_missing",
        "not in its image: slep",
        "slep",
    ),
    Fault(
        "program not executable", refused_start("open: Permission denied"), "program_not_executable", "not executable"
    ),
    Fault("program of another machine", refused_start("exec format error"), "wrong_architecture", "wrong architecture"),
    Fault("any other start error", refused_start("cgroup is busy"), "not_started", "could not be started", "cgroup"),
)
ENDINGS = (
    Fault(
        "crash with its last words", scene(crashed(3), log=["up", "no database"]), "crashing", "code 3", "no database"
    ),
    Fault("crash counts", scene(crashed(3)), "crashing", "keeps failing", "restarts: 3"),
    Fault(
        "command not found", scene(crashed(127), log=["sh: nope: not found"]), "command_not_found", "127", "sh: nope"
    ),
    Fault("not executable", scene(crashed(126), log=["sh: /x: Permission denied"]), "command_not_executable", "126"),
    Fault(
        "out of memory",
        scene(crashed(137, "OOMKilled", container={"resources": {"limits": {"memory": "16Mi"}}})),
        "out_of_memory",
        "memory limit of 16Mi",
        "OOMKilled",
    ),
    Fault(
        "postStart fails",
        scene(HOOKED, event(HOOKED, "FailedPostStartHook", HOOK_SAID, path="spec.containers{c}")),
        "post_start_failed",
        "its postStart hook fails",
        HOOK_SAID,
    ),
    Fault(
        "read-only root", scene(crashed(1), log=["touch: Read-only file system"]), "read_only_root", "read-only file"
    ),
    Fault(
        "wrong architecture", scene(crashed(1), log=["exec /app: Exec format error"]), "wrong_architecture", "machine"
    ),
    Fault(
        "port used in the pod",
        scene(crashed(1), log=["bind: Address already in use"]),
        "address_in_use",
        "already used",
    ),
    Fault(
        "file refused", scene(crashed(1), log=["open /srv/db: permission denied"]), "access_denied", "refused a file"
    ),
    Fault("peer unknown", scene(crashed(1), log=["lookup db: no such host"]), "name_unresolved", "does not resolve"),
    Fault("peer down", scene(crashed(1), log=["dial tcp: connection refused"]), "peer_refused", "does not listen"),
    Fault(
        "init container that does not end",
        scene(pod(RUNNING, is_init=True, phase="Pending"), log=["waiting for the table"]),
        "init_unfinished",
        "init container c has not ended yet",
        "log: waiting for the table",
    ),
    Fault(
        "init container that asks for a name",
        scene(pod(RUNNING, is_init=True, phase="Pending"), log=["** server can't find db: NXDOMAIN", "waiting for db"]),
        "init_unfinished",
        "a host name does not resolve",
        "log: waiting for db",
    ),
    Fault(
        "init container fails", scene(crashed(1, is_init=True), log=["no db"]), "crashing", "init container c", "no db"
    ),
    Fault(
        "ends well but should not", scene(pod(CRASH_LOOP, terminated(0, "Completed"))), "ends_at_once", "exit code 0"
    ),
    Fault("between two crashes", scene(pod(RUNNING, terminated(5), ready=True)), "crashing", "exit code 5"),
)
PROBES = (
    Fault(
        "liveness kills",
        probed("Liveness", "lock is stale", "livenessProbe", {"exec": {}}, state=CRASH_LOOP, last=terminated(137)),
        "liveness",
        "liveness probe fails (lock is stale)",
        "Liveness probe failed: lock is stale",
    ),
    Fault(
        "readiness status",
        probed("Readiness", "HTTP probe failed with statuscode: 503", "readinessProbe", HTTP),
        "readiness",
        "HTTP 503",
        "GET :8080/healthz",
    ),
    Fault(
        "readiness refused",
        probed("Readiness", "dial tcp 10.0.0.1:8080: connect: connection refused", "readinessProbe", HTTP),
        "readiness",
        "nothing listens on port 8080",
    ),
    Fault(
        "readiness too slow",
        probed("Readiness", "context deadline exceeded", "readinessProbe", {**HTTP, "timeoutSeconds": 2}),
        "readiness",
        "no answer within 2 s",
    ),
    Fault(
        "readiness still open", scene(pod(RUNNING, container={"readinessProbe": HTTP})), "not_yet_ready", "not passed"
    ),
    Fault(
        "startup never passes",
        probed("Startup", "connection refused", "startupProbe", HTTP, state=CRASH_LOOP, last=terminated(137)),
        "startup",
        "never passes its startup probe",
        "will be restarted",
    ),
    Fault(
        "readiness gate",
        scene(
            pod(
                spec={"readinessGates": [{"conditionType": "x/lb"}]},
                conditions=[{"type": "ContainersReady", "status": "True"}],
            )
        ),
        "readiness_gates",
        "'x/lb'",
    ),
)
GPU = {"name": "c", "image": "web", "resources": {"requests": {"example.com/gpu": "2"}}}
PLACES = (
    Fault(
        "cpu short",
        scene(pending(NODES + "Insufficient cpu.", containers=[BIG]), node(), other),
        "unschedulable",
        "free cpu (3 asked)",
        "cpu: 3 asked, 0.5 of 2 free",
    ),
    Fault(
        "an extended resource short",
        scene(pending(NODES + "Insufficient example.com/gpu. preemption: none.", containers=[GPU]), node()),
        "unschedulable",
        "free example.com/gpu (2 asked)",
        "example.com/gpu: 2 asked, 0 of 0 free",
    ),
    Fault(
        "a volume elsewhere",
        scene(pending(NODES + "node(s) had volume node affinity conflict."), node()),
        "unschedulable",
        "can be used on other nodes only",
        "volume node affinity conflict",
    ),
    Fault(
        "memory short",
        scene(pending(NODES + "Insufficient memory.", containers=[BIG]), node()),
        "unschedulable",
        "free memory (2048Mi asked)",
        "memory: 2048Mi asked, 1024Mi of 1024Mi free",
    ),
    Fault(
        "nodeSelector",
        scene(
            pending(NODES + "node(s) didn't match Pod's node affinity/selector.", nodeSelector={"disk": "ssd"}), node()
        ),
        "unschedulable",
        "nodeSelector disk=ssd",
        "label disk is 'not set'",
    ),
    Fault(
        "taint",
        scene(pending(NODES + "node(s) had untolerated taint {gpu: yes}."), tainted),
        "unschedulable",
        "gpu: yes",
        "taint gpu=yes:NoSchedule not tolerated",
    ),
    Fault(
        "host port taken",
        scene(
            pending(NODES + "node(s) didn't have free ports for the requested pod ports.", containers=[PORTED]),
            node(),
            other,
        ),
        "unschedulable",
        "host port 8080",
        "taken by pod other",
    ),
    Fault("cordoned", scene(pending(NODES + "node(s) were unschedulable."), node()), "unschedulable", "cordoned"),
    Fault(
        "node not ready and tainted for it",
        scene(pending(NODES + "node(s) had untolerated taint {node.kubernetes.io/not-ready: }."), lost),
        "unschedulable",
        "the node is not ready",
        "not ready (Ready is Unknown)",
    ),
    Fault("no nodes", scene(pending()), "unschedulable", "the cluster has no node"),
    Fault(
        "claim not bound",
        scene(
            pending(
                "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
                volumes=[{"persistentVolumeClaim": {"claimName": "db"}}, {"name": "tmp", "ephemeral": {"x": {}}}],
            ),
            node(),
        ),
        "unschedulable",
        "not bound to a volume (db, web-tmp)",
    ),
    Fault(
        "claim missing",
        scene(pending('0/1 nodes are available: persistentvolumeclaim "db" not found.'), node()),
        "unschedulable",
        "does not exist: db",
    ),
    Fault(
        "anti-affinity",
        scene(pending(NODES + "node(s) didn't match pod anti-affinity rules."), node()),
        "unschedulable",
        "keeps it away",
    ),
    Fault(
        "spread",
        scene(pending(NODES + "node(s) didn't match pod topology spread constraints."), node()),
        "unschedulable",
        "as even",
    ),
    Fault("scheduling gate", scene(pending(schedulingGates=[{"name": "x/wait"}])), "gated", "'x/wait'"),
    Fault(
        "scheduler that is not there", scene(pending(schedulerName="mine"), node()), "unscheduled", "no scheduler", ""
    ),
    Fault("node lost", scene(pod(RUNNING), lost), "on_lost_node", "node 'vm' is not ready", "NodeStatusUnknown"),
    Fault("node gone", scene(pod(RUNNING), node("else")), "on_lost_node", "'vm' is gone"),
    Fault(
        "evicted",
        scene(pod(phase="Failed", status={"reason": "Evicted", "message": "low on memory"})),
        "ended_by_node",
        "evicted the pod",
        "low on memory",
    ),
    Fault(
        "pod stuck on a finalizer",
        scene(pod(RUNNING, meta={"deletionTimestamp": "2030-01-01T11:00:00Z", "finalizers": ["x/hold"]})),
        "ending_slowly",
        "finalizer 'x/hold'",
    ),
    Fault("ending", scene(pod(RUNNING, meta={"deletionTimestamp": "2030-01-01T12:00:09Z"})), "ending_slowly", "to end"),
)
