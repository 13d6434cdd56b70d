"""RuntimeService of the CRI: every RPC in one place, each done by its own file in sandboxes/ and containers/.

What this runtime does not offer (checkpoints, Windows) raises Unimplemented.
"""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

import knarr
from knarr.base import tasks
from knarr.base.errors import Invalid, Unimplemented
from knarr.cri.messages import container as c
from knarr.cri.messages import runtime as r
from knarr.cri.messages import sandbox as s
from knarr.cri.messages import stats as st
from knarr.cri.messages.enums import CgroupDriver, NamespaceMode
from knarr.criserver import recovery, user_namespaces
from knarr.criserver.containers import create, exec_sync, metrics, remove, start, stats, stop, update
from knarr.criserver.containers import status as container_status
from knarr.criserver.node import Node
from knarr.criserver.sandboxes import run, teardown
from knarr.criserver.sandboxes import status as sandbox_status
from knarr.criserver.streaming import StreamingServer

CRI_VERSION: Final = "0.1.0"
"""The kubelet's runtime API version, the same since 2016."""
PAGE: Final = 500
"""Items in one message of a streamed list."""


class RuntimeServer:
    """cri.protocol.RuntimeService over a Node. `recover` before the first call.

    What makes or removes something goes on to its end when its caller gives up: the caller lists, or tries again.
    """

    def __init__(self, node: Node, streaming: StreamingServer) -> None:
        self.node = node
        self._streaming = streaming
        self._users = user_namespaces.Ability(partial(user_namespaces.are_possible, node.places.state))

    async def recover(self) -> None:
        await recovery.recover(self.node)

    async def close(self) -> None:
        """Stop watching; containers go on, and the next server takes them over."""
        for watch in list(self.node.watches.values()):
            await tasks.cancel(watch)
        self.node.watches.clear()

    async def version(self, request: r.VersionRequest) -> r.VersionResponse:
        return r.VersionResponse(
            version=CRI_VERSION,
            runtime_name="knarr",
            runtime_version=knarr.__version__,
            runtime_api_version="v1",
        )

    async def status(self, request: r.StatusRequest) -> r.StatusResponse:
        conditions = tuple(r.RuntimeCondition(type=name, status=True) for name in ("RuntimeReady", "NetworkReady"))
        places = self.node.places
        # Both programs make mounts read-only with all that is below (crun 1.4, runc 1.1).
        features = r.RuntimeHandlerFeatures(
            recursive_read_only_mounts=True, user_namespaces=await self._users.is_there()
        )
        facts = {"cgroupDriver": "cgroupfs", "cgroup": places.cgroup}
        facts |= {"state": str(places.state), "run": str(places.run)}
        return r.StatusResponse(
            status=r.RuntimeStatus(conditions=conditions),
            info={"config": json.dumps(facts)} if request.verbose else {},
            runtime_handlers=tuple(r.RuntimeHandler(name=name, features=features) for name in run.HANDLERS),
            features=r.RuntimeFeatures(supplemental_groups_policy=True),
        )

    async def runtime_config(self, request: r.RuntimeConfigRequest) -> r.RuntimeConfigResponse:
        return r.RuntimeConfigResponse(linux=r.LinuxRuntimeConfiguration(cgroup_driver=CgroupDriver.CGROUPFS))

    async def update_runtime_config(self, request: r.UpdateRuntimeConfigRequest) -> r.UpdateRuntimeConfigResponse:
        # The pod network is the cluster's setting; a kubelet's wish for another changes nothing.
        return r.UpdateRuntimeConfigResponse()

    async def run_pod_sandbox(self, request: s.RunPodSandboxRequest) -> s.RunPodSandboxResponse:
        return await tasks.whole(run.run(self.node, request), "RunPodSandbox")

    async def stop_pod_sandbox(self, request: s.StopPodSandboxRequest) -> s.StopPodSandboxResponse:
        return await tasks.whole(teardown.stop_sandbox(self.node, request), "StopPodSandbox")

    async def remove_pod_sandbox(self, request: s.RemovePodSandboxRequest) -> s.RemovePodSandboxResponse:
        return await tasks.whole(teardown.remove_sandbox(self.node, request), "RemovePodSandbox")

    async def pod_sandbox_status(self, request: s.PodSandboxStatusRequest) -> s.PodSandboxStatusResponse:
        return await sandbox_status.status(self.node, request)

    async def list_pod_sandbox(self, request: s.ListPodSandboxRequest) -> s.ListPodSandboxResponse:
        return await sandbox_status.list_sandboxes(self.node, request)

    async def stream_pod_sandboxes(
        self, request: s.StreamPodSandboxesRequest
    ) -> AsyncIterator[s.StreamPodSandboxesResponse]:
        items = sandbox_status.listed(self.node, request.filter)
        for first in range(0, len(items), PAGE):
            yield s.StreamPodSandboxesResponse(pod_sandboxes=tuple(items[first : first + PAGE]))

    async def update_pod_sandbox_resources(
        self, request: s.UpdatePodSandboxResourcesRequest
    ) -> s.UpdatePodSandboxResourcesResponse:
        return await teardown.update_resources(self.node, request)

    async def create_container(self, request: c.CreateContainerRequest) -> c.CreateContainerResponse:
        return await tasks.whole(create.create(self.node, request), "CreateContainer")

    async def start_container(self, request: c.StartContainerRequest) -> c.StartContainerResponse:
        return await tasks.whole(start.start(self.node, request), "StartContainer")

    async def stop_container(self, request: c.StopContainerRequest) -> c.StopContainerResponse:
        return await stop.stop(self.node, request)

    async def remove_container(self, request: c.RemoveContainerRequest) -> c.RemoveContainerResponse:
        return await tasks.whole(remove.remove(self.node, request), "RemoveContainer")

    async def container_status(self, request: c.ContainerStatusRequest) -> c.ContainerStatusResponse:
        return await container_status.status(self.node, request)

    async def list_containers(self, request: c.ListContainersRequest) -> c.ListContainersResponse:
        return await container_status.list_containers(self.node, request)

    async def stream_containers(self, request: c.StreamContainersRequest) -> AsyncIterator[c.StreamContainersResponse]:
        items = container_status.listed(self.node, request.filter)
        for first in range(0, len(items), PAGE):
            yield c.StreamContainersResponse(containers=tuple(items[first : first + PAGE]))

    async def update_container_resources(
        self, request: c.UpdateContainerResourcesRequest
    ) -> c.UpdateContainerResourcesResponse:
        return await update.update(self.node, request)

    async def reopen_container_log(self, request: c.ReopenContainerLogRequest) -> c.ReopenContainerLogResponse:
        return await update.reopen_log(self.node, request)

    async def exec_sync(self, request: c.ExecSyncRequest) -> c.ExecSyncResponse:
        return await exec_sync.exec_sync(self.node, request)

    async def exec(self, request: c.ExecRequest) -> c.ExecResponse:
        identity = self._running(request.container_id)
        wanted = c.ExecRequest(
            container_id=identity,
            cmd=request.cmd,
            tty=request.tty,
            stdin=request.stdin,
            stdout=request.stdout,
            stderr=request.stderr,
        )
        return c.ExecResponse(url=self._streaming.exec_url(wanted))

    async def attach(self, request: c.AttachRequest) -> c.AttachResponse:
        identity = self._running(request.container_id)
        config = self.node.get_container(identity).config
        wanted = c.AttachRequest(
            container_id=identity,
            stdin=request.stdin,
            tty=config.tty,
            stdout=request.stdout,
            stderr=request.stderr and not config.tty,
        )
        return c.AttachResponse(url=self._streaming.attach_url(wanted, closes_stdin=config.stdin_once))

    async def port_forward(self, request: s.PortForwardRequest) -> s.PortForwardResponse:
        record = self.node.get_sandbox(request.pod_sandbox_id)
        if not record.is_ready:
            raise Invalid(f"sandbox {record.id} is not running")
        is_host = run.options(record.config).network is NamespaceMode.NODE
        namespace = None if is_host else self.node.places.pin(record.id, "net")
        return s.PortForwardResponse(url=self._streaming.port_forward_url(namespace))

    def get_container_events(self, request: c.GetEventsRequest) -> AsyncIterator[c.ContainerEventResponse]:
        return self.node.events.subscribe()

    async def container_stats(self, request: st.ContainerStatsRequest) -> st.ContainerStatsResponse:
        return await stats.container(self.node, request)

    async def list_container_stats(self, request: st.ListContainerStatsRequest) -> st.ListContainerStatsResponse:
        return await stats.containers(self.node, request)

    async def stream_container_stats(
        self, request: st.StreamContainerStatsRequest
    ) -> AsyncIterator[st.StreamContainerStatsResponse]:
        found = await stats.containers(self.node, st.ListContainerStatsRequest(filter=request.filter))
        for first in range(0, len(found.stats), PAGE):
            yield st.StreamContainerStatsResponse(container_stats=found.stats[first : first + PAGE])

    async def pod_sandbox_stats(self, request: st.PodSandboxStatsRequest) -> st.PodSandboxStatsResponse:
        return await stats.sandbox(self.node, request)

    async def list_pod_sandbox_stats(self, request: st.ListPodSandboxStatsRequest) -> st.ListPodSandboxStatsResponse:
        return await stats.sandboxes(self.node, request)

    async def stream_pod_sandbox_stats(
        self, request: st.StreamPodSandboxStatsRequest
    ) -> AsyncIterator[st.StreamPodSandboxStatsResponse]:
        found = await stats.sandboxes(self.node, st.ListPodSandboxStatsRequest(filter=request.filter))
        for first in range(0, len(found.stats), PAGE):
            yield st.StreamPodSandboxStatsResponse(pod_sandbox_stats=found.stats[first : first + PAGE])

    async def list_metric_descriptors(
        self, request: st.ListMetricDescriptorsRequest
    ) -> st.ListMetricDescriptorsResponse:
        return metrics.descriptors()

    async def list_pod_sandbox_metrics(
        self, request: st.ListPodSandboxMetricsRequest
    ) -> st.ListPodSandboxMetricsResponse:
        return await metrics.pods(self.node)

    async def stream_pod_sandbox_metrics(
        self, request: st.StreamPodSandboxMetricsRequest
    ) -> AsyncIterator[st.StreamPodSandboxMetricsResponse]:
        for item in (await self.list_pod_sandbox_metrics(st.ListPodSandboxMetricsRequest())).pod_metrics:
            yield st.StreamPodSandboxMetricsResponse(pod_sandbox_metrics=(item,))

    async def checkpoint_container(self, request: c.CheckpointContainerRequest) -> c.CheckpointContainerResponse:
        raise Unimplemented("CheckpointContainer is not offered by this runtime")

    async def checkpoint_pod(self, request: s.CheckpointPodRequest) -> s.CheckpointPodResponse:
        raise Unimplemented("CheckpointPod is not offered by this runtime")

    async def restore_pod(self, request: s.RestorePodRequest) -> s.RestorePodResponse:
        raise Unimplemented("RestorePod is not offered by this runtime")

    def _running(self, identity: str) -> str:
        record = self.node.get_container(identity)
        if not record.started_at or record.ended is not None:
            state = container_status.state(record).name
            raise Invalid(f"container is in {state} state")
        return record.id
