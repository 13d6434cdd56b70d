"""Asks the runtime about one pod, or about all of them after a restart; reads termination messages.

Acts only: CRI calls and one small file. The picture itself is observed.py's.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from knarr.base.errors import NotFound
from knarr.cri.messages import container as cri_container
from knarr.cri.messages import sandbox as cri_sandbox
from knarr.cri.protocol import RuntimeService
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import members, observed
from knarr.kubelet.log_lines import LineReader, LogOptions
from knarr.kubelet.observed import ObservedPod

MESSAGE_BYTES_MAX = 4096
POD_MESSAGES_BYTES_MAX = 12 * 1024
"""Of all containers together, divided equally (docs: Determine the Reason for Pod Failure)."""
LOG_TAIL_BYTES_MAX, LOG_TAIL_LINES_MAX = 2048, 80
LOG_TAIL_READ = LOG_TAIL_BYTES_MAX + LOG_TAIL_LINES_MAX * 64
"""Each line of a log begins with its time, stream and tags."""


async def inspect(runtime: RuntimeService, uid: str) -> ObservedPod:
    """Everything the runtime has of one pod."""
    labels = {observed.POD_UID: uid}
    boxes = await runtime.list_pod_sandbox(
        cri_sandbox.ListPodSandboxRequest(filter=cri_sandbox.PodSandboxFilter(label_selector=labels))
    )
    listed = await runtime.list_containers(
        cri_container.ListContainersRequest(filter=cri_container.ContainerFilter(label_selector=labels))
    )
    sandboxes = [await _sandbox(runtime, item.id) for item in boxes.items]
    containers = [(item.pod_sandbox_id, await _container(runtime, item.id)) for item in listed.containers]
    return observed.observed_pod(
        (status for status in sandboxes if status is not None),
        ((sandbox_id, status) for sandbox_id, status in containers if status is not None),
    )


async def known_pods(runtime: RuntimeService) -> dict[str, tuple[str, str]]:
    """uid → (namespace, name) of every pod that the runtime has a sandbox or container of."""
    boxes = (await runtime.list_pod_sandbox(cri_sandbox.ListPodSandboxRequest())).items
    listed = (await runtime.list_containers(cri_container.ListContainersRequest())).containers
    found: Iterable[dict[str, str]] = [item.labels for item in boxes] + [item.labels for item in listed]
    return {
        observed.pod_uid(labels): (labels.get(observed.POD_NAMESPACE, ""), labels.get(observed.POD_NAME, ""))
        for labels in found
        if observed.pod_uid(labels)
    }


async def _sandbox(runtime: RuntimeService, sandbox_id: str) -> cri_sandbox.PodSandboxStatus | None:
    try:
        request = cri_sandbox.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        return (await runtime.pod_sandbox_status(request)).status
    except NotFound:
        return None


async def _container(runtime: RuntimeService, container_id: str) -> cri_sandbox.ContainerStatus | None:
    try:
        request = cri_container.ContainerStatusRequest(container_id=container_id)
        return (await runtime.container_status(request)).status
    except NotFound:
        return None


def messages(
    pod: Pod, seen: ObservedPod, known: Mapping[str, str], place: Callable[[str, int], Path], log_dir: Path
) -> dict[str, str]:
    """The termination messages by container id, those of newly ended containers read; `place` is where a container of
    that name and attempt leaves one."""
    found = {c.id: known[c.id] for c in seen.containers if c.id in known}
    share = POD_MESSAGES_BYTES_MAX // max(1, len(pod.spec.containers) + len(pod.spec.init_containers))
    for ended in seen.containers:
        if ended.is_exited and ended.id not in found:
            container = members.find(pod, ended.name)
            policy = container.termination_message_policy if container else ""
            log = log_dir / ended.name / f"{ended.attempt}.log"
            text = termination_message(place(ended.name, ended.attempt), log, policy, ended.exit_code)
            found[ended.id] = text.encode()[:share].decode(errors="ignore")
    return found


def termination_message(path: Path, log: Path, policy: str, exit_code: int) -> str:
    """What the container left in its message file, else, by policy, the end of its log after a failure."""
    message, _ = _read(path, MESSAGE_BYTES_MAX, from_end=False)
    if message or policy != "FallbackToLogsOnError" or exit_code == 0:
        return message.decode(errors="replace")
    content, is_whole = _read(log, LOG_TAIL_READ, from_end=True)
    if not is_whole:
        content = content.partition(b"\n")[2]  # it begins in the middle of a line
    said = LineReader(LogOptions()).feed(content)
    lines = said.splitlines(keepends=True)
    return b"".join(lines[-LOG_TAIL_LINES_MAX:])[-LOG_TAIL_BYTES_MAX:].decode(errors="replace")


def _read(path: Path, size: int, *, from_end: bool) -> tuple[bytes, bool]:
    """The first or last bytes of a file, and whether nothing is before them."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b"", True
    with os.fdopen(fd, "rb") as file:
        start = max(0, os.fstat(fd).st_size - size) if from_end else 0
        file.seek(start)
        return file.read(size), start == 0
