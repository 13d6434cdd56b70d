"""exec, attach, port-forward and logs of this node's containers, as the kubelet's server offers them.

Containers are found by asking the runtime, which is never behind; the runtime's answer is a URL, to which relay.py
brings the client. Who may ask is decided in server.py.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from knarr.base.errors import BadRequest, NotFound
from knarr.cri.messages.container import (
    AttachRequest,
    Container,
    ContainerFilter,
    ContainerStatusRequest,
    ExecRequest,
    ListContainersRequest,
)
from knarr.cri.messages.enums import ContainerState, PodSandboxState
from knarr.cri.messages.sandbox import ListPodSandboxRequest, PodSandboxFilter, PortForwardRequest
from knarr.cri.protocol import RuntimeService
from knarr.kubelet import container_logs, log_lines, observed
from knarr.kubelet.ends import Ends
from knarr.kubelet.relay import Relay
from knarr.wire import http
from knarr.wire.channels import Wanted

STREAMS_REFUSED: Final = "you must specify at least 1 of stdin, stdout, stderr"


@dataclass(frozen=True, slots=True)
class Named:
    """A container by the names that the API gives it."""

    namespace: str
    pod: str
    container: str = ""


async def exec_(runtime: RuntimeService, relay: Relay, request: http.Request, named: Named) -> http.Response:
    query = parse_qs(request.query)
    stdin, stdout, stderr, tty = _asked(query)
    command = tuple(query.get("command", ()))
    if not command:
        raise BadRequest("you must specify a command")
    container = await running(runtime, named)
    answer = await runtime.exec(
        ExecRequest(container_id=container.id, cmd=command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
    )
    return await relay.remote_command(request, answer.url, Wanted(stdin, stdout, stderr, tty))


async def attach(runtime: RuntimeService, relay: Relay, request: http.Request, named: Named) -> http.Response:
    stdin, stdout, stderr, tty = _asked(parse_qs(request.query))
    container = await running(runtime, named)
    answer = await runtime.attach(
        AttachRequest(container_id=container.id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
    )
    return await relay.remote_command(request, answer.url, Wanted(stdin, stdout, stderr, tty))


async def port_forward(runtime: RuntimeService, relay: Relay, request: http.Request, named: Named) -> http.Response:
    labels = {observed.POD_NAMESPACE: named.namespace, observed.POD_NAME: named.pod}
    wanted = PodSandboxFilter(label_selector=labels)
    listed = await runtime.list_pod_sandbox(ListPodSandboxRequest(filter=wanted))
    ready = [sandbox for sandbox in listed.items if sandbox.state == PodSandboxState.SANDBOX_READY]
    if not ready:
        raise NotFound(f'pod not found ("{named.pod}_{named.namespace}")')
    newest = max(ready, key=lambda sandbox: sandbox.created_at)
    ports = _ports(request.query)
    answer = await runtime.port_forward(PortForwardRequest(pod_sandbox_id=newest.id, port=ports))
    return await relay.port_forward(request, answer.url, ports)


async def logs(
    runtime: RuntimeService,
    root: Path,
    named: Named,
    wanted: log_lines.LogOptions,
    *,
    ends: Ends,
    previous: str | None = None,
) -> http.Response:
    """The log of a container; `root` is the folder of all pod logs, `previous` the id of the run before; `ends` tells
    a follower when there is no more to come."""
    runs = await containers(runtime, named)
    found = earlier(runs, named, previous) if wanted.previous else newest(runs, named)
    answer = await runtime.container_status(ContainerStatusRequest(container_id=found.id))
    if answer.status is None or not answer.status.log_path:
        raise NotFound(f'container "{named.container}" in pod "{named.pod}" has no log')
    path = Path(answer.status.log_path)
    container_logs.check(root, path)
    ended = functools.partial(ends.wait, runtime, found.id)
    body = container_logs.read_log(root, path, wanted, ended if wanted.follows else None)
    return http.Response(200, (("content-type", "text/plain; charset=utf-8"),), body)


async def containers(runtime: RuntimeService, named: Named) -> list[Container]:
    """Every container of that name, the newest first."""
    labels = {
        observed.POD_NAMESPACE: named.namespace,
        observed.POD_NAME: named.pod,
        observed.CONTAINER_NAME: named.container,
    }
    listed = await runtime.list_containers(ListContainersRequest(filter=ContainerFilter(label_selector=labels)))
    return sorted(listed.containers, key=lambda container: container.created_at, reverse=True)


async def running(runtime: RuntimeService, named: Named) -> Container:
    """The container of that name that runs. Raises NotFound in upstream's words."""
    for container in await containers(runtime, named):
        if container.state == ContainerState.CONTAINER_RUNNING:
            return container
    raise NotFound(f'container not found ("{named.container}")')


def earlier(found: Sequence[Container], named: Named, previous: str | None) -> Container:
    """The run before. Raises BadRequest in upstream's words if there was none, or it is removed by now."""
    match = next((container for container in found if container.id == previous), None)
    if match is None:
        raise BadRequest(f'previous terminated container "{named.container}" in pod "{named.pod}" not found')
    return match


def newest(found: Sequence[Container], named: Named) -> Container:
    """The run whose log is meant by default. Raises NotFound."""
    if not found:
        raise NotFound(f'container "{named.container}" in pod "{named.pod}" is not available')
    # A container that is created and not started has no log yet; its predecessor's is what there is to see.
    started = [container for container in found if container.state != ContainerState.CONTAINER_CREATED]
    return (started or found)[0]


def _asked(query: dict[str, list[str]]) -> tuple[bool, bool, bool, bool]:
    """(stdin, stdout, stderr, tty); a terminal has no stderr of its own."""
    stdin, stdout, stderr, tty = (query.get(name, [""])[0] in ("1", "true") for name in _STREAM_PARAMETERS)
    if not (stdin or stdout or stderr):
        raise BadRequest(STREAMS_REFUSED)
    return stdin, stdout, stderr and not tty, tty


_STREAM_PARAMETERS: Final = ("input", "output", "error", "tty")


def _ports(query: str) -> tuple[int, ...]:
    names = parse_qs(query)
    texts = [part for name in ("port", "ports") for value in names.get(name, ()) for part in value.split(",")]
    if any(not (text.isascii() and text.isdigit() and 0 < int(text) < 65536) for text in texts):
        raise BadRequest(f"port forward: {', '.join(texts)!r}: ports are numbers from 1 to 65535")
    return tuple(int(text) for text in texts)
