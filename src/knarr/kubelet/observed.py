"""What the runtime reports about one pod, as plain values: its sandboxes and all its containers, newest first.

Turns CRI messages into the kubelet's words; decides nothing. The names io.kubernetes.* are the labels and annotations
that make CRI objects recognisable after a restart (docs: CRI v1, kubelet container labels).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from knarr.base.clock import Instant
from knarr.cri.messages import sandbox as cri_sandbox
from knarr.cri.messages.container import ContainerEventResponse
from knarr.cri.messages.enums import ContainerEventType, ContainerState, PodSandboxState, Signal

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
CONTAINER_HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"
RESOURCES = "knarr.io/resources"
"""What the container was made with (resources.fingerprint): a difference to the spec is an in-place resize."""


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """One container of the runtime. `attempt` counts restarts, `hash` is that of the spec it was made from."""

    id: str
    name: str
    sandbox_id: str = ""
    attempt: int = 0
    state: ContainerState = ContainerState.CONTAINER_RUNNING
    created_at: Instant | None = None
    started_at: Instant | None = None
    finished_at: Instant | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    hash: str = ""
    grace_seconds: int = 30
    resources: str = ""
    stop_signal: str = ""
    user: cri_sandbox.LinuxContainerUser | None = None

    @property
    def is_running(self) -> bool:
        return self.state == ContainerState.CONTAINER_RUNNING

    @property
    def is_exited(self) -> bool:
        return self.state == ContainerState.CONTAINER_EXITED


@dataclass(frozen=True, slots=True)
class ObservedSandbox:
    id: str
    attempt: int = 0
    is_ready: bool = True
    created_at: Instant | None = None
    ips: tuple[str, ...] = ()
    resources: str = ""


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """Sandboxes and containers, newest first. Only the first sandbox can be the current one."""

    sandboxes: tuple[ObservedSandbox, ...] = ()
    containers: tuple[ObservedContainer, ...] = field(default=())

    @property
    def sandbox(self) -> ObservedSandbox | None:
        """The current sandbox, ready or not."""
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def ready_sandbox(self) -> ObservedSandbox | None:
        return self.sandboxes[0] if self.sandboxes and self.sandboxes[0].is_ready else None

    def latest(self, name: str) -> ObservedContainer | None:
        """The newest container of that name, in whichever sandbox."""
        return next((c for c in self.containers if c.name == name), None)

    def current(self, name: str) -> ObservedContainer | None:
        """The newest container of that name in the current sandbox."""
        sandbox = self.sandbox
        latest = self.latest(name)
        return latest if latest and sandbox and latest.sandbox_id == sandbox.id else None

    def all(self, name: str) -> list[ObservedContainer]:
        return [c for c in self.containers if c.name == name]

    def on_host(self, address: str) -> "ObservedPod":
        """The same pod on the host's network: the host's address is its own."""
        return replace(self, sandboxes=tuple(replace(sandbox, ips=(address,)) for sandbox in self.sandboxes))

    @property
    def running(self) -> list[ObservedContainer]:
        return [c for c in self.containers if c.is_running]


def observed_pod(
    sandboxes: Iterable[cri_sandbox.PodSandboxStatus], containers: Iterable[tuple[str, cri_sandbox.ContainerStatus]]
) -> ObservedPod:
    """The picture of a pod from CRI statuses; containers come as (sandbox id, status)."""
    boxes = sorted((_sandbox(s) for s in sandboxes), key=lambda s: (s.attempt, _order(s.created_at)), reverse=True)
    found = [_container(sandbox_id, status) for sandbox_id, status in containers]
    return ObservedPod(
        tuple(boxes), tuple(sorted(found, key=lambda c: (c.attempt, _order(c.created_at)), reverse=True))
    )


def pod_uid(labels: dict[str, str]) -> str:
    """The uid of the pod that a CRI object belongs to; "" for a stranger's."""
    return labels.get(POD_UID, "")


def begun_sandbox(event: ContainerEventResponse) -> str:
    """The id of the sandbox of which the event says that it is there; "" where it says anything else."""
    began = (ContainerEventType.CONTAINER_CREATED_EVENT, ContainerEventType.CONTAINER_STARTED_EVENT)
    box = event.pod_sandbox_status
    is_begun = box is not None and box.id == event.container_id and event.container_event_type in began
    return event.container_id if is_begun else ""


def _sandbox(status: cri_sandbox.PodSandboxStatus) -> ObservedSandbox:
    network = status.network
    ips = (network.ip, *(extra.ip for extra in network.additional_ips)) if network and network.ip else ()
    return ObservedSandbox(
        id=status.id,
        attempt=status.metadata.attempt if status.metadata else 0,
        is_ready=status.state == PodSandboxState.SANDBOX_READY,
        created_at=_instant(status.created_at),
        ips=ips,
        resources=status.annotations.get(RESOURCES, ""),
    )


def _container(sandbox_id: str, status: cri_sandbox.ContainerStatus) -> ObservedContainer:
    return ObservedContainer(
        id=status.id,
        name=status.labels.get(CONTAINER_NAME) or (status.metadata.name if status.metadata else ""),
        sandbox_id=sandbox_id,
        attempt=_restart_count(status),
        state=status.state,
        created_at=_instant(status.created_at),
        started_at=_instant(status.started_at),
        finished_at=_instant(status.finished_at),
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        image=status.image.image if status.image else "",
        image_id=status.image_ref or status.image_id,
        hash=status.annotations.get(CONTAINER_HASH, ""),
        resources=status.annotations.get(RESOURCES, ""),
        stop_signal=_signal(status.stop_signal),
        user=status.user.linux if status.user is not None else None,
        grace_seconds=_integer(status.annotations.get(GRACE_PERIOD, ""), 30),
    )


def _restart_count(status: cri_sandbox.ContainerStatus) -> int:
    return _integer(status.annotations.get(RESTART_COUNT, ""), status.metadata.attempt if status.metadata else 0)


def _signal(found: Signal) -> str:
    """As the API writes it; "" where the runtime does not say."""
    name = found.name.removeprefix("SIGNAL_").replace("PLUS", "+").replace("MINUS", "-")
    return "" if found is Signal.SIGNAL_RUNTIME_DEFAULT else name


def _integer(text: str, default: int) -> int:
    return int(text) if text.isascii() and text.isdigit() else default


def _instant(nanoseconds: int) -> Instant | None:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC) if nanoseconds > 0 else None


def _order(instant: Instant | None) -> float:
    return instant.timestamp() if instant else 0.0
