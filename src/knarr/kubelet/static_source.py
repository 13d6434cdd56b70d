"""Reads the folder of static pods' files, at the start and whenever something in it changes (inotify).

What a file means is static_pods.py's; a file that is wrong is logged and passed over, as are dot files and folders.
Vocabulary: a *found* pod is its JSON by uid.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from knarr.base import logs
from knarr.base.clock import Clock
from knarr.base.errors import KnarrError
from knarr.base.tasks import Ready
from knarr.kubelet import inotify, static_pods

_log = logs.log("kubelet")
Json = dict[str, Any]
Found = dict[str, Json]
FILE_BYTES_MAX = 1 << 20


async def follow(folder: Path, node_name: str, clock: Clock, told: Callable[[Found], None], ready: Ready) -> None:
    """Tell what the folder asks for, now and after each change; never returns."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    watch = inotify.Watch(folder)
    before: Found = {}
    try:
        while True:
            found = read(folder, node_name, clock)
            # A pod that stays is the same one: when it was seen first does not change.
            before = {uid: before.get(uid, pod) for uid, pod in found.items()}
            told(before)
            ready()
            await watch.changed()
    finally:
        watch.close()


def read(folder: Path, node_name: str, clock: Clock) -> Found:
    """The pods of all files, in the order of the files' names; of two with one name the first counts."""
    found: Found = {}
    named: set[tuple[str, str]] = set()
    for name in sorted(os.listdir(folder)):
        content = _content(folder / name) if not name.startswith(".") else None
        if content is None:
            continue
        try:
            pod = static_pods.static_pod(content, name, node_name, clock.now())
        except KnarrError as error:
            _log.warning("static pod was not read %s", logs.fields(file=folder / name, error=error))
            continue
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        if key in named:
            _log.warning("static pod has another's name %s", logs.fields(file=folder / name, pod="/".join(key)))
            continue
        named.add(key)
        found[pod["metadata"]["uid"]] = pod
    return found


def _content(path: Path) -> bytes | None:
    """The bytes of a regular file; None for anything else, or what vanished meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        _log.warning("static pod's file is too large %s", logs.fields(file=path, bytes_max=FILE_BYTES_MAX))
        return None
    return content
