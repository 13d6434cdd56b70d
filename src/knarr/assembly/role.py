"""The life of a long-lived process: lock, log, event loop, signals, the role's own work, and a guard of its sibling.

`main` returns when SIGTERM or SIGINT came or the work failed. What a role does is control.run and node.run.
"""

import asyncio
import faulthandler
import gc
import importlib
import os
import signal
from collections.abc import Awaitable, Callable

from knarr.assembly import supervise
from knarr.assembly.settings import Settings
from knarr.base import heap, logs, tasks
from knarr.base.errors import KnarrError
from knarr.base.logs import fields, log
from knarr.base.tasks import Ready
from knarr.runtime.cgroups import Cgroups

Work = Callable[[Settings, Ready], Awaitable[None]]

SIBLINGS: dict[supervise.Role, supervise.Role] = {"control": "node", "node": "control"}
MODULES: dict[supervise.Role, str] = {"control": "knarr.assembly.control", "node": "knarr.assembly.node"}
UMASK = 0o022
"""Whoever starts a cluster may have a stricter one, and pods of other users must still be able to walk their own root
file system. What nobody else may read is made so by name."""
ROLES_GROUP = "roles"
"""Below the cluster's control group: where its two processes are."""
GC_THRESHOLDS = (50_000, 20, 50)
"""Most garbage here dies by reference count; a full collection over a large cache would stop the loop for long."""


def main(settings: Settings, role: supervise.Role, report_fd: int | None) -> int:
    """Be that process until told to stop; the exit code."""
    os.umask(UMASK)
    heap.give_large_blocks_back()
    faulthandler.enable()  # what kills the process from within a library is in its log
    logs.configure()
    try:
        lock = supervise.hold_lock(settings, role)
    except KnarrError as error:
        supervise.report(report_fd, error=str(error))
        return 1
    _leave_session(settings, role)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(settings, role, report_fd))
    except Exception as error:
        # Whoever waits must hear of it, whatever it is; the traceback goes to the log.
        supervise.report(report_fd, error=f"{type(error).__name__}: {error}")
        raise
    finally:
        os.close(lock)


def _leave_session(settings: Settings, role: supervise.Role) -> None:
    """Out of the control group of whoever typed `knarr up`: with a login's, systemd ends everything in it
    (KillUserProcesses), and counts it against that user's limits. On cgroup v1 the login's stays."""
    cgroups = Cgroups()
    if settings.api_only or not cgroups.is_v2:
        return
    try:
        cgroups.enter(f"{settings.cgroup}/{ROLES_GROUP}")
    except OSError as error:
        log(role).warning("%s", fields(role=role, cgroup="that of the login stays", reason=error))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if os.environ.get("KNARR_LOOP") == "asyncio":
        return None
    import uvloop  # idle TLS connections cost a seventh of asyncio's memory; the standard loop works as well

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _run(settings: Settings, role: supervise.Role, report_fd: int | None) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    work: Work = importlib.import_module(MODULES[role]).run
    main_task = asyncio.create_task(_work(settings, role, report_fd, work), name=role)
    stop_task = asyncio.create_task(stopped.wait(), name="signals")
    await asyncio.wait({main_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
    stop_task.cancel()
    if not main_task.done():
        await tasks.cancel(main_task)
        log(role).info("%s", fields(role=role, event="stopped"))
        return 0
    failure = main_task.exception()
    reason = _first(failure) if failure else "its work returned"
    log(role).error("%s", fields(role=role, event="failed", reason=reason), exc_info=failure)
    supervise.report(report_fd, error=reason)
    return 1


def _first(error: BaseException) -> str:
    """The first real reason inside an exception group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


async def _work(settings: Settings, role: supervise.Role, report_fd: int | None, work: Work) -> None:
    gc.set_threshold(*GC_THRESHOLDS)
    async with asyncio.TaskGroup() as group:

        async def begin(ready: Ready) -> None:
            await work(settings, ready)

        if not settings.api_only:
            group.create_task(supervise.guard(settings, SIBLINGS[role]), name="guard")
        group.create_task(heap.trim_forever(), name="heap")
        await tasks.start(group, role, begin)
        gc.collect()
        gc.freeze()
        supervise.report(report_fd, state="ready")
        log(role).info("%s", fields(role=role, event="ready", pid=os.getpid()))
