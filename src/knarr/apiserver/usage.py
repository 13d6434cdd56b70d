"""Usage: NodeMetrics and PodMetrics, asked of the nodes' kubelets and never stored (`kubectl top`).

Which objects a request means is read from the stored nodes and pods; their figures come from /stats/summary of the
kubelets concerned. A node that does not answer in time is left out, and so are its pods. Spec: k8s.io/metrics v1beta1.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from fractions import Fraction

import msgspec

from knarr.apiserver import presenting, selecting, status
from knarr.apiserver.context import Json, RequestContext
from knarr.apiserver.kubelets import Part, PodPart, Summary
from knarr.base import clock
from knarr.kinds.metrics import GROUP, NODEMETRICS, PODMETRICS
from knarr.objects import quantity
from knarr.wire import http

Found = tuple[Json, PodPart, timedelta]
"""A stored pod, its part of a summary, and the time over which its CPU rate was taken."""


async def nodes(context: RequestContext) -> http.Response:
    """Get or list of NodeMetrics."""
    summaries = await _summaries(context, stored := _stored(context, "nodes"))
    answering = [(node, summaries[_name(node)]) for node in stored if _name(node) in summaries]
    found = [(node, each.document.node, each.window) for node, each in answering]
    return _answered(context, [node_metrics(*each, context.server.clock.now()) for each in found], "nodemetrics")


async def pods(context: RequestContext) -> http.Response:
    """Get or list of PodMetrics."""
    stored = _stored(context, "pods")
    names = {pod["spec"].get("nodeName", "") for pod in stored}
    known = _listed(context, "nodes", "", selecting.EVERYTHING)
    summaries = await _summaries(context, [node for node in known if _name(node) in names])
    found = running(stored, summaries)
    return _answered(context, [pod_metrics(*each, context.server.clock.now()) for each in found], "podmetrics")


def running(pods: Iterable[Json], summaries: Mapping[str, Summary]) -> list[Found]:
    """The pods that their node's summary has figures of; one of an earlier pod of that name does not count."""
    parts = {part.pod_ref.uid: (part, each.window) for each in summaries.values() for part in each.document.pods}
    return [(pod, *parts[pod["metadata"]["uid"]]) for pod in pods if pod["metadata"]["uid"] in parts]


def node_metrics(node: Json, part: Part, window: timedelta, now: clock.Instant) -> Json:
    made: Json = {"kind": NODEMETRICS.kind, "apiVersion": NODEMETRICS.api_version, "metadata": _metadata(node, now)}
    return {**made, **_sampled(part, window), "usage": usage(part)}


def pod_metrics(pod: Json, part: PodPart, window: timedelta, now: clock.Instant) -> Json:
    containers = [{"name": each.name, "usage": usage(each)} for each in part.containers]
    made: Json = {"kind": PODMETRICS.kind, "apiVersion": PODMETRICS.api_version, "metadata": _metadata(pod, now)}
    return {**made, **_sampled(part, window), "containers": containers}


def usage(part: Part) -> Json:
    """CPU in cores and memory in bytes as quantities, in the units that metrics-server writes."""
    return {
        "cpu": quantity.canonical(f"{part.cpu.usage_nano_cores}n"),
        "memory": quantity.text(Fraction(part.memory.working_set_bytes), like="1Ki"),
    }


def _sampled(part: Part, window: timedelta) -> Json:
    return {"timestamp": part.cpu.time, "window": f"{window.total_seconds():.3f}s"}


def _metadata(stored: Json, now: clock.Instant) -> Json:
    kept = {key: stored["metadata"][key] for key in ("name", "namespace", "labels") if key in stored["metadata"]}
    return {**kept, "creationTimestamp": clock.rfc3339(now)}


def _name(stored: Json) -> str:
    return str(stored["metadata"]["name"])


def _stored(context: RequestContext, plural: str) -> list[Json]:
    """The stored objects that the request's path and selectors choose."""
    return _listed(context, plural, context.route.namespace, selecting.of(context))


def _listed(context: RequestContext, plural: str, namespace: str, chosen: selecting.Selection) -> list[Json]:
    resource = context.server.resources.of("", "v1", plural)
    entries = context.server.store.list(resource.list_prefix(namespace)).entries
    return [msgspec.json.decode(entry.value) for entry in entries if chosen.matches(entry.value)]


async def _summaries(context: RequestContext, nodes: list[Json]) -> dict[str, Summary]:
    """Node name → what its kubelet says, for those that answer."""
    server = context.server
    asked = [server.kubelets.summary(node, server.pki, server.clock.now()) for node in nodes]
    answered = await asyncio.gather(*asked)
    return {_name(node): each for node, each in zip(nodes, answered, strict=True) if each is not None}


def _answered(context: RequestContext, made: list[Json], listed: str) -> http.Response:
    """One object for a get, else the list."""
    route = context.route
    if route.name and not made:
        raise status.not_found(f"{listed}.{GROUP}", f"{route.namespace}/{route.name}".removeprefix("/"))
    return presenting.unstored(context, made)
