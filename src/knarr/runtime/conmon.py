"""conmon's command line and the words it says back; pure.

conmon holds a container's standard streams, log and exit code while knarr comes and goes. It answers on the sync pipe
with one JSON line: {"pid": n}, or {"pid": -1, "message": …} when the runtime failed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from knarr.base.errors import Invalid, Unavailable
from knarr.runtime.runtime import ContainerSpec

RESIZE: Final = "1 {rows} {columns}\n"
REOPEN_LOG: Final = "2 0 0\n"
"""Lines of the control FIFO `ctl` in the bundle."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Paths of conmon and the runtime, and the runtime's own state directory."""

    conmon: str
    runtime: str
    runtime_root: Path


def arguments(spec: ContainerSpec, bundle: Path, exits: Path, runtime: Sequence[str], conmon: str) -> list[str]:
    """The command line; `runtime` is the program that conmon starts for `create`, with its first arguments."""
    line = [conmon, "--api-version", "1", "-c", spec.id, "-u", spec.id, "-n", spec.id, "-b", str(bundle)]
    line += ["-r", runtime[0], *(f"--runtime-arg={argument}" for argument in runtime[1:])]
    line += ["-p", str(bundle / "pid"), "-P", str(bundle / "conmon.pid"), "--exit-dir", str(exits)]
    line += ["-l", f"k8s-file:{spec.log_path}", "--no-sync-log", "--full-attach", "--log-level", "error"]
    if spec.has_terminal:
        line.append("-t")
    if spec.keeps_stdin:
        line.append("-i")
        if not spec.closes_stdin_once:
            line.append("--leave-stdin-open")
    if spec.log_size_max:
        line += ["--log-size-max", str(spec.log_size_max)]
    return line


def created_pid(answer: bytes) -> int:
    """The container's pid from conmon's answer; Invalid with the runtime's message if there is none."""
    if not answer.strip():
        raise Unavailable("conmon ended before it answered")
    for line in answer.splitlines():
        try:
            said = json.loads(line)
            pid = int(said.get("pid", said.get("data", -1)))
        except (ValueError, AttributeError, TypeError, OverflowError) as error:
            raise Unavailable(f"conmon's answer is cut short: {line[:200]!r}") from error
        if pid > 0:
            return pid
        raise Invalid(str(said.get("message") or "the runtime gave no reason").strip())
    raise Unavailable("conmon ended before it answered")
