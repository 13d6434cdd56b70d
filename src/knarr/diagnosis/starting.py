"""Rules about containers that cannot be made: configuration, volumes, sandbox, program, user. Pure."""

import re

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.container import Container
from knarr.diagnosis.finding import Finding, evidence
from knarr.diagnosis.scene import Json, Scene

_ABSENT = re.compile(r'(configmap|secret) "([^"]+)" not found', re.IGNORECASE)
_KEY = re.compile(r"couldn't find key (\S+) in (ConfigMap|Secret) ([^/\s]+)/(\S+)", re.ASCII)
_VOLUME_KEY = re.compile(r"references non-existent (?:config|secret) key: (\S+)", re.ASCII)
_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found', re.IGNORECASE)
_VOLUME = re.compile(r'volume "([^"]+)"')
_CONFIG_REASONS = ("CreateContainerConfigError", "CreateContainerError")


def missing_source(container: Container) -> Finding | None:
    """A ConfigMap or Secret that env names is not there."""
    found = _ABSENT.search(container.message) if container.reason in _CONFIG_REASONS else None
    if found is None:
        return None
    kind, named = _kind(found[1]), found[2]
    return Finding(
        f"{container.title} takes its environment from the {kind} {named!r}, which does not exist",
        evidence(container.message),
        f"kubectl create {_create(kind)} {named} --from-literal=KEY=VALUE, or mend the name in env or envFrom",
    )


def missing_key(container: Container) -> Finding | None:
    found = _KEY.search(container.message) if container.reason in _CONFIG_REASONS else None
    if found is None:
        return None
    return Finding(
        f"the {found[2]} {found[4]!r} has no key {found[1]!r}, which {container.title} takes its environment from",
        evidence(container.message),
        f"kubectl edit {found[2].lower()} {found[4]}, or mend the key in env",
    )


def runs_as_root(container: Container) -> Finding | None:
    if "runAsNonRoot" not in container.message:
        return None
    return Finding(
        f"{container.title} must not run as root (runAsNonRoot), but its image does, or its user is only a name",
        evidence(container.message),
        "set securityContext.runAsUser to a number other than 0, or USER in the Dockerfile",
    )


_NAMED_PROGRAM = re.compile(r"""executable file [`'"]([^`'"]+)[`'"] not found|exec: "([^"]+)": executable""")
"""As crun and as runc say it."""


def not_made(container: Container) -> Finding | None:
    """Any other error on the way to a made container."""
    if container.reason not in _CONFIG_REASONS or not container.message:
        return None
    return Finding(
        f"{container.title} cannot be created", evidence(container.message), "mend what the message names in the pod"
    )


def program_missing(container: Container) -> Finding | None:
    said = _start_error(container).lower()
    if "executable file" not in said and "no such file" not in said:
        return None
    named = _NAMED_PROGRAM.search(_start_error(container))
    program = (named[1] or named[2]) if named else (container.spec.get("command") or ["the image's entrypoint"])[0]
    return Finding(
        f"{container.title} starts a program that is not in its image: {program}",
        evidence(_start_error(container), _words(container)),
        "mend command (or the image's ENTRYPOINT); a script also needs the interpreter its first line names",
    )


def _words(container: Container) -> str:
    """What the container starts, as its spec says it."""
    command, args = container.spec.get("command"), container.spec.get("args")
    return f"command: {command or 'from the image'}" + (f", args: {args}" if args else "")


def program_not_executable(container: Container) -> Finding | None:
    if "permission denied" not in _start_error(container).lower():
        return None
    return Finding(
        f"{container.title} starts a file that is not executable",
        evidence(_start_error(container), _words(container)),
        "chmod +x the file in the Dockerfile, or run it by its interpreter (command: [sh, FILE])",
    )


def wrong_architecture(container: Container) -> Finding | None:
    said = [_start_error(container), *container.log]
    found = next((line for line in said if "exec format error" in line.lower()), "")
    if not found or (container.exit_code == 0 and not container.reason):
        return None
    return Finding(
        f"{container.title}'s program is not made for this machine (wrong architecture, or a script without #!)",
        evidence(found, f"image: {container.spec.get('image', '')}", *container.end_evidence),
        "build the image for this architecture, or begin the script with #!/bin/sh",
    )


def not_started(container: Container) -> Finding | None:
    """The runtime refused to start it for any other reason."""
    said = _start_error(container)
    if not said:
        return None
    return Finding(f"{container.title} could not be started", evidence(said), "mend what the runtime's message names")


def volume_source(scene: Scene, pod: Json) -> Finding | None:
    """A volume that cannot be set up while containers wait for it."""
    said = scene.newest(pod, "FailedMount", "FailedAttachVolume") if _is_creating(pod) else ""
    if not said:
        return None
    volume = _VOLUME.search(said)
    where = f"volume {volume[1]!r}" if volume else "a volume"
    absent, key, claim = _ABSENT.search(said), _VOLUME_KEY.search(said), _CLAIM.search(said)
    if absent is not None:
        kind, named = _kind(absent[1]), absent[2]
        step = f"kubectl create {_create(kind)} {named} --from-file=…, or mend the volume's name"
        return Finding(f"{where} needs the {kind} {named!r}, which does not exist", evidence(said), step)
    if key is not None:
        step = "add the key, or mend items in the volume"
        return Finding(f"{where} asks for the key {key[1]!r}, which its source does not have", evidence(said), step)
    if claim is not None:
        step = f"create the claim, or mend claimName: kubectl get pvc -n {scenes.namespace(pod)}"
        return Finding(f"{where} needs the claim {claim[1]!r}, which does not exist", evidence(said), step)
    if "does not mount volumes of type" in said:
        step = "until then put an emptyDir or a hostPath volume in its place"
        return Finding(f"{where} is of a type that knarr does not mount yet", evidence(said), step)
    return Finding(f"{where} cannot be set up", evidence(said), "mend what the message names; kubectl describe pod")


def sandbox(scene: Scene, pod: Json) -> Finding | None:
    said = scene.newest(pod, "FailedCreatePodSandBox") if _is_creating(pod) else ""
    if not said:
        return None
    return Finding("the pod's sandbox (its network and namespaces) cannot be made", evidence(said), "knarr doctor")


def _start_error(container: Container) -> str:
    """What the runtime said when it could not start the program; "" when it started."""
    if container.reason in ("RunContainerError", "StartError"):
        return container.message or str(container.ended.get("message", ""))
    is_start = container.ended.get("reason") in ("StartError", "ContainerCannotRun")
    return str(container.ended.get("message", "")) if is_start else ""


def _is_creating(pod: Json) -> bool:
    if scenes.is_over(pod) or scenes.is_ready(pod):
        return False
    statuses = scenes.status(pod).get("containerStatuses") or ()
    reasons = {((each.get("state") or {}).get("waiting") or {}).get("reason") for each in statuses}
    return not statuses or bool(reasons & {"ContainerCreating", "PodInitializing"})


def _kind(word: str) -> str:
    return {"configmap": "ConfigMap", "secret": "Secret"}[word.lower()]


def _create(kind: str) -> str:
    return {"ConfigMap": "configmap", "Secret": "secret generic"}[kind]
