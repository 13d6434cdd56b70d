"""What the runtime says that runs, as a PodList of little more than names: the kubelet's /runningpods/.

/pods tells what is bound here, as the API has it; who asks this page wants to see what is really there, such as
containers of a pod that the API has forgotten. Pure.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from knarr.cri.messages.container import Container
from knarr.cri.messages.sandbox import PodSandbox


def pod_list(sandboxes: Iterable[PodSandbox], containers: Sequence[Container]) -> dict[str, Any]:
    """One pod for each sandbox, with the containers that belong to it."""
    items = [_pod(sandbox, containers) for sandbox in sandboxes if sandbox.metadata is not None]
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}


def _pod(sandbox: PodSandbox, containers: Sequence[Container]) -> dict[str, Any]:
    assert sandbox.metadata is not None
    found = sandbox.metadata
    shown = [
        {"name": one.metadata.name, "image": one.image.image if one.image else "", "resources": {}}
        for one in containers
        if one.pod_sandbox_id == sandbox.id and one.metadata is not None
    ]
    return {
        "metadata": {"name": found.name, "namespace": found.namespace, "uid": found.uid, "creationTimestamp": None},
        "spec": {"containers": shown},
        "status": {},
    }
