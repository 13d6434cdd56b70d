"""Rules about containers that end: memory, exit codes, and what their last log lines tell. Pure."""

import re

from knarr.diagnosis.container import Container
from knarr.diagnosis.finding import Finding, evidence

_READ_ONLY = re.compile(r"read-only file ?system|EROFS", re.IGNORECASE)
_IN_USE = re.compile(r"address (already )?in use|EADDRINUSE", re.IGNORECASE)
_DENIED = re.compile(r"permission denied|EACCES|operation not permitted", re.IGNORECASE)
_NO_NAME = re.compile(
    r"no such host|name or service not known|could not resolve|can't resolve|bad address|ENOTFOUND|NXDOMAIN",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"connection refused|ECONNREFUSED", re.IGNORECASE)
_KILLED, _TERMINATED = 137, 143


def out_of_memory(container: Container) -> Finding | None:
    if container.ended.get("reason") != "OOMKilled":
        return None
    limit = ((container.spec.get("resources") or {}).get("limits") or {}).get("memory")
    text = f"its memory limit of {limit}" if limit else "the memory that the node has"
    return Finding(
        f"{container.title} was killed because it used more than {text} (OOMKilled)",
        evidence(*container.end_evidence),
        "raise resources.limits.memory, or make the program use less; kubectl top pod shows what it uses",
    )


def post_start_failed(container: Container) -> Finding | None:
    """The container was killed because its own hook did not end well."""
    said = container.event("FailedPostStartHook") if container.ended else ""
    if not said:
        return None
    return Finding(
        f"{container.title} is killed because its postStart hook fails",
        evidence(said, *container.end_evidence),
        "mend lifecycle.postStart in the pod template, or what it needs; the hook may run before the program is up",
    )


def command_not_found(container: Container) -> Finding | None:
    if container.exit_code != 127:
        return None
    return Finding(
        f"{container.title}'s shell did not find a command (exit code 127)",
        evidence(*container.end_evidence, _command(container)),
        "mend the command's name, or put the program into the image and on PATH",
    )


def command_not_executable(container: Container) -> Finding | None:
    if container.exit_code != 126:
        return None
    return Finding(
        f"{container.title}'s shell found the command but may not execute it (exit code 126)",
        evidence(*container.end_evidence, _command(container)),
        "chmod +x the file in the Dockerfile, or run it by its interpreter",
    )


def read_only_root(container: Container) -> Finding | None:
    is_asked = (container.spec.get("securityContext") or {}).get("readOnlyRootFilesystem")
    where = "readOnlyRootFilesystem is set" if is_asked else "the place is mounted read-only"
    return _logged(
        container,
        _READ_ONLY,
        f"{container.title} writes to a read-only file system: {where}",
        "mount an emptyDir where the program writes, or unset readOnlyRootFilesystem (or the mount's readOnly)",
    )


def address_in_use(container: Container) -> Finding | None:
    others = len((container.pod.get("spec") or {}).get("containers") or ()) - 1
    why = f": the pod's {others + 1} containers share one address" if others else ""
    return _logged(
        container,
        _IN_USE,
        f"{container.title} cannot listen: its port is already used in the pod{why}",
        "give each container of the pod its own port (and look for hostNetwork: true)",
    )


def access_denied(container: Container) -> Finding | None:
    return _logged(
        container,
        _DENIED,
        f"{container.title} was refused a file or an operation",
        "look at the files' owner against runAsUser and fsGroup, and at capabilities in securityContext",
    )


_NAME_STEP = (
    "if it is a Service's: knarr has no cluster DNS yet, so use a pod's address (kubectl get pods -o wide); "
    "if it is not: check the name, and this machine's DNS"
)


def name_unresolved(container: Container) -> Finding | None:
    why = f"{container.title} ends because a host name does not resolve"
    return _logged(container, _NO_NAME, why, _NAME_STEP)


def init_unfinished(container: Container) -> Finding | None:
    """An init container that runs on: the others wait for its end. Not a sidecar, which is meant to."""
    if not (container.is_init and container.is_running) or container.spec.get("restartPolicy") == "Always":
        return None
    cause = f"{container.title} has not ended yet, and the pod's containers start after it"
    if any(_NO_NAME.search(line) for line in container.log):
        return Finding(f"{cause}: a host name does not resolve", evidence(*container.log_evidence), _NAME_STEP)
    step = f"see what it waits for: kubectl logs {_place(container)} -c {container.name}"
    return Finding(cause, evidence(*container.log_evidence), step)


def peer_refused(container: Container) -> Finding | None:
    return _logged(
        container,
        _REFUSED,
        f"{container.title} ends because what it connects to does not listen",
        "knarr why service/NAME of the peer; a program should wait for its peers rather than end",
    )


def crashing(container: Container) -> Finding | None:
    """It ended with an error and nothing more specific is known."""
    if container.exit_code == 0:
        return None
    how = "keeps failing" if container.restarts or container.reason == "CrashLoopBackOff" else "failed"
    after = ", so the pod's containers do not start" if container.is_init else ""
    previous = " --previous" if container.is_running else ""
    signal = {_KILLED: ", SIGKILL", _TERMINATED: ", SIGTERM"}.get(container.exit_code, "")
    return Finding(
        f"{container.title} {how} with exit code {container.exit_code}{signal}{after}",
        evidence(*container.end_evidence),
        f"mend what its log says: kubectl logs {_place(container)} -c {container.name}{previous}",
    )


def ends_at_once(container: Container) -> Finding | None:
    """A program that ends well though it should go on running."""
    if container.reason != "CrashLoopBackOff" or container.exit_code != 0 or container.is_init:
        return None
    return Finding(
        f"{container.title} ends (exit code 0) and is started again and again",
        evidence(*container.end_evidence, _command(container)),
        "keep the program in the foreground; for work that ends use a Job",
    )


def _logged(container: Container, pattern: re.Pattern[str], cause: str, next_step: str) -> Finding | None:
    """The finding, if the container ended badly and one of its last lines has the pattern."""
    found = [line for line in container.log if pattern.search(line)] if container.exit_code else []
    if not found:
        return None
    return Finding(cause, evidence(f"log: {found[-1]}", *container.end_evidence), next_step)


def _command(container: Container) -> str:
    words = [*(container.spec.get("command") or ()), *(container.spec.get("args") or ())]
    return f"command: {' '.join(words)}" if words else ""


def _place(container: Container) -> str:
    found = container.pod.get("metadata") or {}
    return f"-n {found.get('namespace', 'default')} {found.get('name')}"
