"""The Container Runtime Interface v1, as two Protocols.

Every RPC of the specification is one method that takes its request message and returns its response message;
a server stream is an async iterator. Errors are those of base/errors.py; the gRPC edge maps them to codes.
This file mirrors a specification and is exempt from the limit on the methods of a Protocol.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from knarr.cri.messages import container, image, runtime, sandbox, stats


class RuntimeService(Protocol):
    """RuntimeService of CRI v1."""

    async def attach(self, request: container.AttachRequest) -> container.AttachResponse: ...

    async def checkpoint_container(
        self, request: container.CheckpointContainerRequest
    ) -> container.CheckpointContainerResponse: ...

    async def checkpoint_pod(self, request: sandbox.CheckpointPodRequest) -> sandbox.CheckpointPodResponse: ...

    async def container_stats(self, request: stats.ContainerStatsRequest) -> stats.ContainerStatsResponse: ...

    async def container_status(
        self, request: container.ContainerStatusRequest
    ) -> container.ContainerStatusResponse: ...

    async def create_container(
        self, request: container.CreateContainerRequest
    ) -> container.CreateContainerResponse: ...

    async def exec(self, request: container.ExecRequest) -> container.ExecResponse: ...

    async def exec_sync(self, request: container.ExecSyncRequest) -> container.ExecSyncResponse: ...

    def get_container_events(
        self, request: container.GetEventsRequest
    ) -> AsyncIterator[container.ContainerEventResponse]: ...

    async def list_container_stats(
        self, request: stats.ListContainerStatsRequest
    ) -> stats.ListContainerStatsResponse: ...

    async def list_containers(self, request: container.ListContainersRequest) -> container.ListContainersResponse: ...

    async def list_metric_descriptors(
        self, request: stats.ListMetricDescriptorsRequest
    ) -> stats.ListMetricDescriptorsResponse: ...

    async def list_pod_sandbox(self, request: sandbox.ListPodSandboxRequest) -> sandbox.ListPodSandboxResponse: ...

    async def list_pod_sandbox_metrics(
        self, request: stats.ListPodSandboxMetricsRequest
    ) -> stats.ListPodSandboxMetricsResponse: ...

    async def list_pod_sandbox_stats(
        self, request: stats.ListPodSandboxStatsRequest
    ) -> stats.ListPodSandboxStatsResponse: ...

    async def pod_sandbox_stats(self, request: stats.PodSandboxStatsRequest) -> stats.PodSandboxStatsResponse: ...

    async def pod_sandbox_status(
        self, request: sandbox.PodSandboxStatusRequest
    ) -> sandbox.PodSandboxStatusResponse: ...

    async def port_forward(self, request: sandbox.PortForwardRequest) -> sandbox.PortForwardResponse: ...

    async def remove_container(
        self, request: container.RemoveContainerRequest
    ) -> container.RemoveContainerResponse: ...

    async def remove_pod_sandbox(
        self, request: sandbox.RemovePodSandboxRequest
    ) -> sandbox.RemovePodSandboxResponse: ...

    async def reopen_container_log(
        self, request: container.ReopenContainerLogRequest
    ) -> container.ReopenContainerLogResponse: ...

    async def restore_pod(self, request: sandbox.RestorePodRequest) -> sandbox.RestorePodResponse: ...

    async def run_pod_sandbox(self, request: sandbox.RunPodSandboxRequest) -> sandbox.RunPodSandboxResponse: ...

    async def runtime_config(self, request: runtime.RuntimeConfigRequest) -> runtime.RuntimeConfigResponse: ...

    async def start_container(self, request: container.StartContainerRequest) -> container.StartContainerResponse: ...

    async def status(self, request: runtime.StatusRequest) -> runtime.StatusResponse: ...

    async def stop_container(self, request: container.StopContainerRequest) -> container.StopContainerResponse: ...

    async def stop_pod_sandbox(self, request: sandbox.StopPodSandboxRequest) -> sandbox.StopPodSandboxResponse: ...

    def stream_container_stats(
        self, request: stats.StreamContainerStatsRequest
    ) -> AsyncIterator[stats.StreamContainerStatsResponse]: ...

    def stream_containers(
        self, request: container.StreamContainersRequest
    ) -> AsyncIterator[container.StreamContainersResponse]: ...

    def stream_pod_sandbox_metrics(
        self, request: stats.StreamPodSandboxMetricsRequest
    ) -> AsyncIterator[stats.StreamPodSandboxMetricsResponse]: ...

    def stream_pod_sandbox_stats(
        self, request: stats.StreamPodSandboxStatsRequest
    ) -> AsyncIterator[stats.StreamPodSandboxStatsResponse]: ...

    def stream_pod_sandboxes(
        self, request: sandbox.StreamPodSandboxesRequest
    ) -> AsyncIterator[sandbox.StreamPodSandboxesResponse]: ...

    async def update_container_resources(
        self, request: container.UpdateContainerResourcesRequest
    ) -> container.UpdateContainerResourcesResponse: ...

    async def update_pod_sandbox_resources(
        self, request: sandbox.UpdatePodSandboxResourcesRequest
    ) -> sandbox.UpdatePodSandboxResourcesResponse: ...

    async def update_runtime_config(
        self, request: runtime.UpdateRuntimeConfigRequest
    ) -> runtime.UpdateRuntimeConfigResponse: ...

    async def version(self, request: runtime.VersionRequest) -> runtime.VersionResponse: ...


class ImageService(Protocol):
    """ImageService of CRI v1."""

    async def image_fs_info(self, request: image.ImageFsInfoRequest) -> image.ImageFsInfoResponse: ...

    async def image_status(self, request: image.ImageStatusRequest) -> image.ImageStatusResponse: ...

    async def list_images(self, request: image.ListImagesRequest) -> image.ListImagesResponse: ...

    async def pull_image(self, request: image.PullImageRequest) -> image.PullImageResponse: ...

    async def remove_image(self, request: image.RemoveImageRequest) -> image.RemoveImageResponse: ...

    def stream_images(self, request: image.StreamImagesRequest) -> AsyncIterator[image.StreamImagesResponse]: ...
