"""One command probe attempt inside the container, by the runtime's ExecSync: exit code 0 is success."""

import math

from knarr.base.errors import DeadlineExceeded, KnarrError
from knarr.cri.messages.container import ExecSyncRequest
from knarr.cri.protocol import RuntimeService
from knarr.kubelet.probes.result import OUTPUT_MAX, Result


async def attempt(runtime: RuntimeService, container_id: str, command: tuple[str, ...], seconds: float) -> Result:
    """Run the command; a command that takes too long has failed, one that cannot be run is an error."""
    request = ExecSyncRequest(container_id=container_id, cmd=command, timeout=math.ceil(seconds))
    try:
        done = await runtime.exec_sync(request)
    except DeadlineExceeded:
        return Result(False, f"command timed out: {' '.join(command)!r} timed out after {seconds:g}s")
    except (KnarrError, OSError) as error:
        return Result(False, str(error), is_error=True)
    output = (done.stdout + done.stderr)[:OUTPUT_MAX].decode(errors="replace")
    return Result(done.exit_code == 0, output)
