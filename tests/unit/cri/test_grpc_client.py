"""How long calls over the CRI socket may take."""

import msgspec
import pytest

from knarr.cri import grpc_client
from knarr.cri.messages import container as m
from knarr.cri.messages import image as i
from knarr.cri.messages import sandbox as s

CALL, MARGIN = grpc_client.CALL_SECONDS, grpc_client.MARGIN_SECONDS


@pytest.mark.parametrize(
    ("name", "request_", "seconds"),
    [
        ("stop_container", m.StopContainerRequest(timeout=3600), 3600 + MARGIN),
        ("stop_container", m.StopContainerRequest(timeout=0), CALL),
        ("stop_container", m.StopContainerRequest(timeout=-5), CALL),
        ("exec_sync", m.ExecSyncRequest(timeout=600), 600 + MARGIN),
        ("exec_sync", m.ExecSyncRequest(), None),  # 0 is no limit, by the specification
        ("pull_image", i.PullImageRequest(), grpc_client.PULL_SECONDS),
        ("list_pod_sandbox", s.ListPodSandboxRequest(), CALL),
        ("stream_pod_sandboxes", s.StreamPodSandboxesRequest(), CALL),
        ("get_container_events", m.GetEventsRequest(), None),
    ],
)
def test_a_call_gets_the_time_of_its_request_and_a_margin(
    name: str, request_: msgspec.Struct, seconds: float | None
) -> None:
    assert grpc_client.deadline_seconds(name, request_) == seconds
