"""Lifecycle hooks: postStart and preStop by command, HTTP or sleep, one attempt each.

Acts only; when hooks run is the worker's. A hook that fails raises HookFailed with upstream's words. An HTTP hook goes
to the pod's address unless it names a host. Spec: docs "Container Lifecycle Hooks".
"""

import asyncio
from dataclasses import replace

from knarr.base.errors import KnarrError
from knarr.cri.messages.container import ExecSyncRequest
from knarr.cri.protocol import RuntimeService
from knarr.kinds.lens.probes import LifecycleHandler
from knarr.kubelet.members import AnyContainer
from knarr.kubelet.probes import http, target

HTTP_SECONDS_MAX = 60.0
USER_AGENT = "kube-lifecycle/1.37"


class HookFailed(Exception):
    """The hook did not succeed; str() is what the event says."""


async def run(
    runtime: RuntimeService, handler: LifecycleHandler, container: AnyContainer, container_id: str, pod_ip: str
) -> None:
    """Run one hook to its end."""
    try:
        await _run(runtime, handler, container, container_id, pod_ip)
    except (KnarrError, OSError) as error:  # such as a named port that the container does not have
        raise HookFailed(str(error)) from error


async def _run(
    runtime: RuntimeService, handler: LifecycleHandler, container: AnyContainer, container_id: str, pod_ip: str
) -> None:
    if handler.exec is not None:
        await _exec(runtime, handler.exec.command, container_id)
    elif handler.http_get is not None:
        await _http(target.http(handler.http_get, container, pod_ip))
    elif handler.sleep is not None:
        await asyncio.sleep(handler.sleep.seconds)
    elif handler.tcp_socket is not None:
        raise HookFailed("tcpSocket is not a hook that runs; use exec, httpGet or sleep")


async def _http(place: target.HttpTarget) -> None:
    """Any answer will do, whatever its status, as upstream has it."""
    if not any(name.lower() == "user-agent" for name, _ in place.headers):
        place = replace(place, headers=(*place.headers, ("User-Agent", USER_AGENT)))
    asked = await http.ask(place, HTTP_SECONDS_MAX)
    if isinstance(asked, str):
        raise HookFailed(asked)


async def _exec(runtime: RuntimeService, command: tuple[str, ...], container_id: str) -> None:
    done = await runtime.exec_sync(ExecSyncRequest(container_id=container_id, cmd=command))
    if done.exit_code != 0:
        output = (done.stdout + done.stderr).decode(errors="replace")
        raise HookFailed(f"command '{' '.join(command)}' exited with {done.exit_code}: {output}")
