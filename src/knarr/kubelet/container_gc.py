"""Container garbage collection: which dead containers of a pod may go, and which files go with them.

Pure, but for `remove_files`. Of each container name one dead run is kept, the one that `kubectl logs --previous` reads
(upstream's MaxPerPodContainer 1, MinAge 0 and no bound on the node); a pod that has finished keeps its last runs until
the disk is short (relief.py) or the pod is deleted. What was made and never started is pod_plan.py's.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from knarr.cri.messages.enums import ContainerState
from knarr.kubelet.observed import ObservedContainer

DEAD_KEPT = 1


def excess(containers: Iterable[ObservedContainer]) -> Iterator[ObservedContainer]:
    """Of the containers of one pod, newest first, the dead ones beyond those kept."""
    kept: dict[str, int] = {}
    for container in containers:
        if container.state in (ContainerState.CONTAINER_EXITED, ContainerState.CONTAINER_UNKNOWN):
            kept[container.name] = kept.get(container.name, 0) + 1
            if kept[container.name] > DEAD_KEPT:
                yield container


def remove_files(removed: Iterable[ObservedContainer], log_dir: Path) -> None:
    """Remove the logs of runs, rotated parts too; a next run with the number of one that never began makes its own."""
    for container in removed:
        for log in (log_dir / container.name).glob(f"{container.attempt}.log*"):
            log.unlink(missing_ok=True)
