"""Container logs: rotated by size, a bounded number of files kept, no line lost.

The file is renamed and the runtime told to reopen it (ReopenContainerLog), so what is written meanwhile lands in the
renamed file. Sizes are looked at on a timer, as upstream's log manager does. Spec: docs "Logging Architecture".
"""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from knarr.base import logs
from knarr.base.clock import Instant
from knarr.base.errors import KnarrError
from knarr.cri.messages.container import ReopenContainerLogRequest
from knarr.cri.protocol import RuntimeService

_log = logs.log("kubelet")
CHECK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class OpenLog:
    """The log that a running container writes."""

    container_id: str
    path: Path


async def rotate_all(
    runtime: RuntimeService, found: Iterable[OpenLog], *, bytes_max: int, files_max: int, now: Instant
) -> None:
    """Rotate every log that is too large; one that fails is left for the next time."""
    for one in found:
        try:
            if one.path.stat().st_size > bytes_max:
                await rotate(runtime, one, files_max=files_max, now=now)
        except FileNotFoundError:
            continue
        except (KnarrError, OSError) as error:
            _log.warning("log was not rotated %s", logs.fields(path=one.path, error=error))


async def rotate(runtime: RuntimeService, one: OpenLog, *, files_max: int, now: Instant) -> None:
    """Put the log aside and let the container begin a new one; if it cannot, the name is put back."""
    for old in surplus(rotated(one.path), files_max):
        old.unlink(missing_ok=True)
    aside = one.path.with_name(f"{one.path.name}.{now.strftime('%Y%m%d-%H%M%S')}")
    os.rename(one.path, aside)
    try:
        await runtime.reopen_container_log(ReopenContainerLogRequest(container_id=one.container_id))
    except (KnarrError, OSError):
        with contextlib.suppress(FileExistsError):  # it has begun a new one for all that, and goes on writing there
            os.link(aside, one.path)
            aside.unlink()
        raise


def rotated(path: Path) -> list[Path]:
    """The rotated files of a log, the oldest first: their names end in the time."""
    return sorted(path.parent.glob(f"{path.name}.*"))


def surplus(files: list[Path], files_max: int) -> list[Path]:
    """Those that must go so that, with the current log and the one being put aside, `files_max` are left."""
    kept = max(0, files_max - 2)
    return files[: len(files) - kept] if len(files) > kept else []
