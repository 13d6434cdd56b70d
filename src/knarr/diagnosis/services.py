"""Rules about Services and Ingresses: no pods, pods that are not ready, a port that is not there. Pure."""

import difflib
from collections.abc import Iterator

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.finding import Finding, evidence
from knarr.diagnosis.scene import Json, Scene


def selects_nothing(scene: Scene) -> Iterator[Finding]:
    wanted = scenes.spec(scene.subject).get("selector") or {}
    if not wanted or scene.pods() or scenes.spec(scene.subject).get("type") == "ExternalName":
        return
    near = sorted(scene.here("Pod"), key=lambda pod: (-_nearness(pod, wanted), scenes.name(pod)))[:3]
    shown = [f"pod {scenes.name(pod)} has {_written(scenes.metadata(pod).get('labels') or {})}" for pod in near]
    if not shown:
        shown = [f"namespace {scenes.namespace(scene.subject)} has no pods"]
    yield Finding(
        f"the Service selects no pods: none has the labels {_written(wanted)}",
        evidence(*shown),
        "mend spec.selector of the Service, or the labels in the pod template; or start the pods",
    )


def no_selector(scene: Scene) -> Iterator[Finding]:
    spec = scenes.spec(scene.subject)
    slices = [each for each in scene.all("EndpointSlice") if _is_of(each, scene.subject)]
    if spec.get("selector") or spec.get("type") == "ExternalName" or any(each.get("endpoints") for each in slices):
        return
    yield Finding(
        "the Service has no selector and no endpoints",
        (),
        "set spec.selector, or create an EndpointSlice with the label kubernetes.io/service-name",
    )


def pods_not_ready(scene: Scene) -> Iterator[Finding]:
    pods = [pod for pod in scene.pods() if not scenes.is_over(pod)]
    bad = [scenes.name(pod) for pod in pods if not scenes.is_ready(pod)]
    if not bad or scenes.spec(scene.subject).get("publishNotReadyAddresses"):
        return
    few = "none" if len(bad) == len(pods) else f"only {len(pods) - len(bad)}"
    yield Finding(
        f"the Service selects {len(pods)} pods and {few} of them is ready to receive",
        evidence(f"not ready: {', '.join(bad[:5])}"),
        f"knarr why pod/{bad[0]}",
    )


def wrong_port_name(scene: Scene) -> Iterator[Finding]:
    """A targetPort whose name no container's port has."""
    for target, known in _targets(scene):
        if isinstance(target, str) and target not in {port.get("name") for port in known}:
            yield _wrong_port(target, known, "have")


def undeclared_port(scene: Scene) -> Iterator[Finding]:
    """A numeric targetPort beside declared ones: a guess, since programs may listen without declaring it."""
    for target, known in _targets(scene):
        if isinstance(target, int) and known and target not in {port.get("containerPort") for port in known}:
            yield _wrong_port(target, known, "declare")


def _targets(scene: Scene) -> Iterator[tuple[str | int | None, list[Json]]]:
    """Each targetPort, with the ports of the first selected pod."""
    for pod in scene.pods()[:1]:
        for port in scenes.spec(scene.subject).get("ports") or ():
            yield port.get("targetPort", port.get("port")), _ports(pod)


def _wrong_port(target: str | int, known: list[Json], how: str) -> Finding:
    shown = [f"{port.get('name', '')}:{port.get('containerPort')}".lstrip(":") for port in known]
    return Finding(
        f"the Service sends to port {target}, which its pods do not {how}",
        evidence(f"containerPorts of its pods: {', '.join(shown) or 'none'}"),
        "mend targetPort in the Service, or ports in the pod template",
    )


def no_backend(scene: Scene) -> Iterator[Finding]:
    """An Ingress whose backend Service is not there, or has no such port."""
    services = {scenes.name(each): each for each in scene.here("Service")}
    for backend in _backends(scene.subject):
        service = services.get(str(backend.get("name")))
        if service is None:
            have = ", ".join(sorted(services)[:5]) or "none"
            yield Finding(
                f"the Ingress sends to the Service {backend.get('name')!r}, which does not exist",
                evidence(f"services there: {have}"),
                "create the Service, or mend the backend's name",
            )
            continue
        wanted = backend.get("port") or {}
        ports = scenes.spec(service).get("ports") or ()
        asked = wanted.get("number", wanted.get("name"))
        if asked not in {each.get(word) for each in ports for word in ("port", "name")}:
            yield Finding(
                f"the Ingress asks for port {asked} of the Service {backend.get('name')!r}, which it does not have",
                evidence(f"its ports: {', '.join(str(each.get('port')) for each in ports)}"),
                "mend the backend's port",
            )


def _backends(ingress: Json) -> list[Json]:
    spec = scenes.spec(ingress)
    paths = [path for rule in spec.get("rules") or () for path in (rule.get("http") or {}).get("paths") or ()]
    found = [spec.get("defaultBackend") or {}, *(path.get("backend") or {} for path in paths)]
    return [backend["service"] for backend in found if backend.get("service")]


def _ports(pod: Json) -> list[Json]:
    return [port for each in scenes.spec(pod).get("containers") or () for port in each.get("ports") or ()]


def _nearness(pod: Json, wanted: Json) -> float:
    """How much the pod's labels look like the wanted ones: a mistyped value is nearer than another one."""
    labels = scenes.metadata(pod).get("labels") or {}
    return sum(
        difflib.SequenceMatcher(None, str(labels.get(key, "")), str(value)).ratio() for key, value in wanted.items()
    )


def _written(labels: Json) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items()) or "no labels"


def _is_of(each: Json, service: Json) -> bool:
    labels = scenes.metadata(each).get("labels") or {}
    return bool(labels.get("kubernetes.io/service-name") == scenes.name(service))
