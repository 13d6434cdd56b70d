"""Rules about what no fault of the user's explains: knarr does not do it yet, or nothing in the cluster does. Pure."""

from collections.abc import Iterator

from knarr.diagnosis import scene as scenes
from knarr.diagnosis.finding import Finding, evidence
from knarr.diagnosis.scene import Scene
from knarr.kinds import not_yet


def stored_only(scene: Scene) -> Iterator[Finding]:
    """An object that is as its spec wants it, and that nothing acts on."""
    found = not_yet.of(scene.kind, scene.subject)
    if found is not None:
        pods = [scenes.status(pod).get("podIP") for pod in scene.pods() if scenes.is_ready(pod)]
        ready = f"its ready pods: {', '.join(str(address) for address in pods[:5])}" if pods else ""
        yield Finding(found.lack, evidence(ready), found.instead)


def no_ingress_controller(scene: Scene) -> Iterator[Finding]:
    spec, status = scenes.spec(scene.subject), scenes.status(scene.subject)
    if (status.get("loadBalancer") or {}).get("ingress"):
        return
    yield Finding(
        "no ingress controller has taken the Ingress: it is stored, and nothing listens for its hosts",
        evidence(f"its class: {spec.get('ingressClassName') or 'none'}"),
        "start an ingress controller of that class as a pod; until then: kubectl port-forward service/NAME",
    )
