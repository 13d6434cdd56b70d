"""Orphans: what runtime and disk have of pods that the API has no more. Ended and removed once, after a start.

A pod may be deleted by force while the node is not there; nobody tells the next kubelet but the absence itself. Each
orphan is ended beside the others; one that refuses keeps its directories and waits for the next start. Not here: the
end of a pod that the API knows (ending.py), and what lies below the runtime (criserver/recovery.py).
"""

import asyncio
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from knarr.base import logs
from knarr.base.errors import KnarrError
from knarr.cri.messages import container as cri_container
from knarr.kubelet import acts, inspection
from knarr.kubelet.settings import KubeletSettings
from knarr.kubelet.shared import Shared
from knarr.kubelet.volumes.volumes import PodVolumes

_log = logs.log("kubelet")
IsKnown = Callable[[str], bool]
"""Whether the pod of that uid has a worker; asked after a thing was found, as workers come before their things."""


async def end_orphans(shared: Shared, is_known: IsKnown) -> None:
    try:
        found = await inspection.known_pods(shared.runtime)
    except (KnarrError, OSError) as error:
        _log.warning("orphans were not looked for %s", logs.fields(error=error))
        return
    uids = [uid for uid in found if not is_known(uid)]
    refused = {uid for uid in await asyncio.gather(*(_end(shared, uid, found[uid]) for uid in uids)) if uid}
    await shared.aside(lambda: remove_directories(shared.settings, lambda uid: uid in refused or is_known(uid)))


async def _end(shared: Shared, uid: str, pod: tuple[str, str]) -> str:
    """Stop and remove everything of the pod in the runtime; the uid if that failed."""
    words = logs.fields(namespace=pod[0], pod=pod[1], uid=uid)
    try:
        observed = await inspection.inspect(shared.runtime, uid)
        for item in observed.running:
            request = cri_container.StopContainerRequest(container_id=item.id, timeout=item.grace_seconds)
            await shared.runtime.stop_container(request)
        await acts.remove(shared, uid, observed)
    except (KnarrError, OSError) as error:
        _log.warning("orphan was not ended %s %s", words, logs.fields(error=error))
        return uid
    _log.info("orphan ended %s", words)
    return ""


def remove_directories(settings: KubeletSettings, is_known: IsKnown) -> None:
    """Remove volumes and logs of every other pod."""
    for directory in _entries((settings.root_dir / "pods", settings.memory_root)):
        if not is_known(directory.name):
            PodVolumes(settings.pod_dir(directory.name), settings.memory_dir(directory.name)).remove()
    for directory in _entries((settings.pod_log_dir,)):
        # As settings.log_dir names them; what is named otherwise is not a pod's.
        parts = directory.name.split("_")
        if len(parts) == 3 and not is_known(parts[2]):
            shutil.rmtree(directory, ignore_errors=True)


def _entries(roots: Collection[Path]) -> list[Path]:
    return [entry for root in roots if root.is_dir() for entry in root.iterdir() if not entry.is_symlink()]
