"""Rules about probes: liveness and startup that kill, readiness that fails, by what the probe last said. Pure."""

import re
from typing import Any

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.container import Container
from knarr.diagnosis.finding import Finding, evidence
from knarr.diagnosis.scene import Json, Scene

_STATUS = re.compile(r"statuscode: (\d+)", re.ASCII)
_SLOW = re.compile(r"deadline exceeded|timed out|timeout", re.IGNORECASE)


def liveness(container: Container) -> Finding | None:
    said = container.event("Unhealthy", start="Liveness probe")
    killed = container.event("Killing", start=f"Container {container.name} failed liveness probe")
    is_down = bool(container.ended) or not container.status.get("ready")
    if not said or not is_down or not (killed or container.is_running):
        return None
    return Finding(
        f"{container.title} is killed again and again: its liveness probe fails ({_meaning(container, said, 'live')})",
        evidence(said, killed, _text(container, "livenessProbe"), *container.end_evidence),
        "mend the probe or what it asks; give slow starters a startupProbe rather than a long initialDelaySeconds",
    )


def startup(container: Container) -> Finding | None:
    if "startupProbe" not in container.spec or container.status.get("started"):
        return None
    said = container.event("Unhealthy", start="Startup probe")
    killed = container.event("Killing", start=f"Container {container.name} failed startup probe")
    if not said:
        return None
    return Finding(
        f"{container.title} never passes its startup probe ({_meaning(container, said, 'startup')})",
        evidence(said, killed, _text(container, "startupProbe"), *container.end_evidence),
        "mend the probe's port or path, or give it more time: failureThreshold x periodSeconds",
    )


def readiness(container: Container) -> Finding | None:
    if "readinessProbe" not in container.spec or not container.is_running or container.status.get("ready"):
        return None
    said = container.event("Unhealthy", start="Readiness probe")
    if not said:
        return None
    return Finding(
        f"{container.title} runs but is not ready: its readiness probe fails ({_meaning(container, said, 'ready')})",
        evidence(said, _text(container, "readinessProbe"), *container.log_evidence),
        "mend the probe's port or path, or what the program answers there; Services send it nothing until then",
    )


def not_yet_ready(container: Container) -> Finding | None:
    """It runs, its probes have not passed, and no failure has been told."""
    probes = [probe for probe in ("startupProbe", "readinessProbe") if probe in container.spec]
    if not container.is_running or container.status.get("ready") or not probes or container.is_init:
        return None
    return Finding(
        f"{container.title} runs and its {probes[-1]} has not passed yet",
        evidence(*(_text(container, probe) for probe in probes)),
        "wait for initialDelaySeconds and periodSeconds to pass, then ask again",
    )


def readiness_gates(scene: Scene, pod: Json) -> Finding | None:
    gates = [str(gate.get("conditionType")) for gate in scenes.spec(pod).get("readinessGates") or ()]
    open_ = [gate for gate in gates if scenes.condition(pod, gate).get("status") != "True"]
    if not open_ or scenes.condition(pod, "ContainersReady").get("status") != "True":
        return None
    return Finding(
        f"the pod waits for its readiness gate {open_[0]!r}",
        evidence(str(scenes.condition(pod, "Ready").get("message", ""))),
        "the controller that owns the gate must set that condition in the pod's status",
    )


def _meaning(container: Container, said: str, which: str) -> str:
    answered = _STATUS.search(said)
    if answered:
        return f"HTTP {answered[1]}"
    if "connection refused" in said.lower():
        port = _port(_probe(container, which))
        return f"nothing listens on port {port}" if port else "nothing listens there"
    if _SLOW.search(said):
        return f"no answer within {_probe(container, which).get('timeoutSeconds', 1)} s"
    return said.split(": ", 1)[-1].splitlines()[0][:120]


def _probe(container: Container, which: str) -> Json:
    key = {"live": "livenessProbe", "startup": "startupProbe", "ready": "readinessProbe"}[which]
    found: Json = container.spec.get(key) or {}
    return found


def _port(probe: Json) -> Any:
    return next((probe[way].get("port") for way in ("httpGet", "tcpSocket", "grpc") if way in probe), None)


def _text(container: Container, key: str) -> str:
    """`readinessProbe: GET :8080/healthz, every 10 s, 3 failures`."""
    probe: Json = container.spec.get(key) or {}
    if not probe:
        return ""
    act = f"port {_port(probe)}"
    if "httpGet" in probe:
        act = f"GET :{_port(probe)}{probe['httpGet'].get('path', '/')}"
    elif "exec" in probe:
        act = " ".join(probe["exec"].get("command") or ())
    return (
        f"{key}: {act}, every {probe.get('periodSeconds', 10)} s, failureThreshold {probe.get('failureThreshold', 3)}"
    )
