"""The kubelet's read-only pages: /pods, /runningpods, /stats/summary, /metrics and its own. For server.py's table.

Each answers from what the workers know and from one CRI call; nothing is sampled while nobody asks. Only the summary
also walks the pods' volumes and logs, once in WALK_AGAIN for whoever asks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from urllib.parse import parse_qsl

import msgspec

from knarr.base import exposition
from knarr.base.clock import Clock, Instant
from knarr.base.errors import KnarrError
from knarr.cri.messages.container import ContainerFilter, ContainerStateValue, ListContainersRequest
from knarr.cri.messages.enums import ContainerState, PodSandboxState
from knarr.cri.messages.sandbox import ListPodSandboxRequest, PodSandboxFilter, PodSandboxStateValue
from knarr.cri.messages.stats import LinuxPodSandboxStats, ListContainerStatsRequest, ListPodSandboxStatsRequest
from knarr.kubelet import (
    configuration,
    node_signals,
    observed,
    running_pods,
    static_pods,
    stats,
    summary,
    volume_figures,
)
from knarr.kubelet.kubelet import Kubelet
from knarr.kubelet.volume_figures import PodFigures
from knarr.wire import http, parameters

Page = Callable[[http.Request], Awaitable[http.Response]]
JSON: http.Headers = (("content-type", "application/json"),)
TEXT: http.Headers = (("content-type", "text/plain; version=0.0.4; charset=utf-8"),)
SAMPLE_SECONDS = 0.1
"""How far apart the two samples are when nobody asked before: a rate needs two."""
FRESH = timedelta(seconds=60)
WALK_AGAIN = timedelta(seconds=60)
"""As often as upstream calculates what volumes take (volumeStatsAggPeriod)."""


def pages(kubelet: Kubelet, clock: Clock) -> Mapping[str, Page]:
    """The table of paths."""
    shown = Pages(kubelet, clock)
    return {
        "/pods": shown.pods,
        "/runningpods": shown.running_pods,
        "/stats/summary": shown.summary,
        "/metrics/resource": shown.resource_metrics,
        "/metrics": shown.metrics,
        "/configz": shown.configz,
        "/probes": shown.probes,
    }


class Pages:
    """Keeps only the last CPU sample of each container, and what the last walk found."""

    def __init__(self, kubelet: Kubelet, clock: Clock) -> None:
        self._kubelet = kubelet
        self._clock = clock
        self._rates = stats.Rates()
        self._walking = asyncio.Lock()
        self._walked: tuple[Instant, dict[str, PodFigures]] | None = None

    async def pods(self, _request: http.Request) -> http.Response:
        """The pods bound here, as the API has them."""
        items = b",".join(self._kubelet.pods_json())
        body = b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[' + items + b"]}"
        return http.Response(200, JSON, body)

    async def running_pods(self, _request: http.Request) -> http.Response:
        """What the runtime runs, whether the API knows of it or not."""
        runtime = self._kubelet.runtime
        ready = PodSandboxFilter(state=PodSandboxStateValue(state=PodSandboxState.SANDBOX_READY))
        running = ContainerFilter(state=ContainerStateValue(state=ContainerState.CONTAINER_RUNNING))
        sandboxes = (await runtime.list_pod_sandbox(ListPodSandboxRequest(filter=ready))).items
        containers = (await runtime.list_containers(ListContainersRequest(filter=running))).containers
        return http.Response(200, JSON, msgspec.json.encode(running_pods.pod_list(sandboxes, containers)))

    async def summary(self, request: http.Request) -> http.Response:
        """With `only_cpu_and_memory`, as `kubectl top` wants it, nothing else is looked at."""
        node, usages = await self._usages(rated=True)
        settings = self._kubelet.settings
        around = summary.Surroundings()
        if not parameters.is_true(dict(parse_qsl(request.query)).get("only_cpu_and_memory")):
            signals = node_signals.signals(settings.root_dir, settings.image_dir)
            around = summary.Surroundings(signals, await self._sandboxes(), await self._files())
        body = summary.summary(settings.node_name, node, self._kubelet.pods(), usages, around)
        return http.Response(200, JSON, msgspec.json.encode(body))

    async def resource_metrics(self, _request: http.Request) -> http.Response:
        node, usages = await self._usages(rated=False)
        return http.Response(200, TEXT, stats.resource_metrics(node, usages).encode())

    async def probes(self, request: http.Request) -> http.Response:
        """What the probes of `?namespace=…&pod=…` said lately, for `knarr why`."""
        asked = dict(parse_qsl(request.query))
        attempts = self._kubelet.probe_attempts(asked.get("namespace", "default"), asked.get("pod", ""))
        return http.Response(200, JSON, msgspec.json.encode({"attempts": attempts}))

    async def configz(self, _request: http.Request) -> http.Response:
        """The configuration that counts."""
        body = {"kubeletconfig": configuration.shown(self._kubelet.settings)}
        return http.Response(200, JSON, msgspec.json.encode(body))

    async def metrics(self, _request: http.Request) -> http.Response:
        pods = self._kubelet.pods()
        running = sum(1 for pod in pods if pod.status.phase == "Running")
        mirrors = sum(1 for pod in pods if static_pods.SOURCE in pod.metadata.annotations)
        family, node = exposition.family, exposition.labels(node=self._kubelet.settings.node_name)
        running_containers = self._kubelet.running_containers
        lines = [
            *family("kubelet_running_pods", "gauge", "Pods that run.", (("", running),)),
            *family(
                "kubelet_desired_pods",
                "gauge",
                "Pods that are to run; static ones are of files.",
                (('{static=""}', len(pods) - mirrors), ('{static="true"}', mirrors)),
            ),
            *family(
                "kubelet_running_containers",
                "gauge",
                "Containers, by their state.",
                (('{container_state="running"}', running_containers),),
            ),
            *family("kubelet_node_name", "gauge", "The node's name.", ((node, 1),)),
            *exposition.own_figures(),
        ]
        return http.Response(200, TEXT, ("\n".join(lines) + "\n").encode())

    async def _sandboxes(self) -> dict[str, LinuxPodSandboxStats]:
        """Network and processes by the pod's uid; none from a runtime that cannot say."""
        try:
            found = (await self._kubelet.runtime.list_pod_sandbox_stats(ListPodSandboxStatsRequest())).stats
        except KnarrError:
            return {}
        return {observed.pod_uid(one.attributes.labels): one.linux for one in found if one.attributes and one.linux}

    async def _files(self) -> dict[str, PodFigures]:
        """Volumes and logs by the pod's uid; one walk at a time, and who waited for one takes what it found."""
        async with self._walking:
            now = self._clock.now()
            if self._walked is None or now - self._walked[0] >= WALK_AGAIN:
                self._walked = (now, await self._walk())
            return self._walked[1]

    async def _walk(self) -> dict[str, PodFigures]:
        """Beside the event loop."""
        settings, found = self._kubelet.settings, dict[str, PodFigures]()
        pods = self._kubelet.pods()

        def walk() -> None:
            for pod in pods:
                meta = pod.metadata
                found[meta.uid] = volume_figures.of_pod(
                    pod,
                    settings.pod_dir(meta.uid) / "volumes",
                    settings.memory_dir(meta.uid),
                    settings.log_dir(meta.namespace, meta.name, meta.uid),
                )

        await self._kubelet.aside(walk)
        return found

    async def _usages(self, *, rated: bool) -> tuple[stats.Usage, list[stats.ContainerUsage]]:
        """Node and containers; with rates, a second sample is taken where one is missing: nobody asked lately, or
        not since a container started."""
        node, usages = await self._sample()
        if not rated or all(each.nanocores is not None for each in (node, *(one.usage for one in usages))):
            return node, usages
        await asyncio.sleep(SAMPLE_SECONDS)
        return await self._sample()

    async def _sample(self) -> tuple[stats.Usage, list[stats.ContainerUsage]]:
        found = (await self._kubelet.runtime.list_container_stats(ListContainerStatsRequest())).stats
        now = self._clock.now()
        last = self._rates.last.get("node")
        if last is not None and now - last[0] > FRESH:
            self._rates.last.clear()
        usages = stats.container_usages(found, self._rates, stats.starts(self._kubelet.pods()))
        self._rates.keep_only({"node", *(item.attributes.id for item in found if item.attributes)})
        return stats.node_usage(now, self._rates), usages
