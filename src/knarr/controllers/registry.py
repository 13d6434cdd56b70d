"""The table of controllers, and what runs them all over one shared cache.

assembly/control.py starts `Controllers(client, clock).run(ready)`. The cache is readable from outside (the scheduler
may share it: name further kinds in `kinds`).
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from knarr.base import tasks
from knarr.base.clock import Clock, Instant
from knarr.base.tasks import Ready
from knarr.client import reflector
from knarr.client.cache import Cache
from knarr.client.client import Client
from knarr.client.events import EventRecorder
from knarr.controllers import (
    bootstrapsigner,
    clusterroles,
    cronjob,
    daemonset,
    disruption,
    endpointmirroring,
    endpoints,
    ephemeral,
    figures,
    flowschemas,
    garbage,
    namespace,
    nodelifecycle,
    podgc,
    protection,
    quota,
    replicaset,
    replicationcontroller,
    serviceaccounts,
    subsets,
    tokens,
    volumebinding,
)
from knarr.controllers.certificates.runner import Certificates
from knarr.controllers.controller import Controller
from knarr.controllers.deployment import sync as deployment
from knarr.controllers.job import sync as job
from knarr.controllers.job import tracking
from knarr.controllers.runner import Runner
from knarr.controllers.statefulset import sync as statefulset
from knarr.kinds import registry
from knarr.kinds.batch import JOB
from knarr.kinds.certificates import CERTIFICATESIGNINGREQUEST
from knarr.kinds.core_config import NAMESPACE, NODE, SECRET, SERVICEACCOUNT
from knarr.kinds.core_pod import POD
from knarr.kinds.core_storage import PERSISTENTVOLUMECLAIM
from knarr.kinds.registry import Kind
from knarr.wire.tls import KeyPair

# One row per controller that remembers nothing and needs nothing; the order says nothing.
CONTROLLERS: tuple[Controller, ...] = (
    deployment.CONTROLLER,
    replicaset.CONTROLLER,
    replicationcontroller.CONTROLLER,
    statefulset.CONTROLLER,
    job.CONTROLLER,
    cronjob.CONTROLLER,
    disruption.CONTROLLER,
    endpoints.SLICES,
    subsets.CONTROLLER,
    subsets.LEFTOVERS,
    endpointmirroring.CONTROLLER,
    serviceaccounts.ACCOUNTS,
    nodelifecycle.EVICTION,
    volumebinding.CLAIMS,
    volumebinding.VOLUMES,
    protection.CLAIMS,
    protection.VOLUMES,
    clusterroles.CONTROLLER,
    flowschemas.CONTROLLER,
    bootstrapsigner.CONTROLLER,
)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What controllers need to know that no object says: the cluster's CA (PEM), and since when they listen."""

    root_ca: str = ""
    started: Instant = datetime.min.replace(tzinfo=UTC)


def all_controllers(circumstances: Circumstances = Circumstances()) -> Sequence[Controller]:
    """Every controller of knarr that is a plan; garbage.py, namespace.py and podgc.py are parts of their own."""
    publisher = [serviceaccounts.root_ca(circumstances.root_ca)] if circumstances.root_ca else []
    counted = [kind for kind in collectable_kinds() if kind.is_namespaced]
    own = [daemonset.controller(), quota.controller(counted), nodelifecycle.controller(circumstances.started)]
    return [*CONTROLLERS, *own, *publisher]


def collectable_kinds() -> Sequence[Kind]:
    """Every kind that can be listed and deleted, in one version each."""
    found: dict[tuple[str, str], Kind] = {}
    for entry in registry.facts("kinds")["kinds"]:
        if registry.is_served(entry) and {"list", "watch", "delete"} <= {*entry["verbs"]}:
            name = (entry["group"], entry["kind"])
            if name not in found and name != ("events.k8s.io", "Event"):
                found[name] = registry.row(entry["group"], entry["version"], entry["kind"])
    return tuple(found.values())


def kinds_of(controllers: Iterable[Controller]) -> Sequence[Kind]:
    """Every kind that these controllers look at, once."""
    found: dict[Kind, None] = {}
    for controller in controllers:
        for kind in (controller.kind, *controller.owns, *controller.watches, *controller.reads):
            found.setdefault(kind)
    return tuple(found)


class Part(Protocol):
    """Something that runs beside the plans over the same cache."""

    @property
    def is_idle(self) -> bool: ...

    async def run(self, ready: Ready) -> None: ...


class Controllers:
    """All controllers over one cache. `run` never returns.

    `authority` is the CA that signs certificate requests; None leaves them to others.
    `collected` are the kinds that the garbage collector and the namespace controller look after: all that are served.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        root_ca: str = "",
        authority: Callable[[], KeyPair] | None = None,
        kinds: Iterable[Kind] = (),
        controllers: Sequence[Controller] | None = None,
        collected: Sequence[Kind] | None = None,
    ) -> None:
        chosen = all_controllers(Circumstances(root_ca, clock.now())) if controllers is None else controllers
        swept = collectable_kinds() if collected is None else collected
        self._client = client
        self._clock = clock
        requests = [CERTIFICATESIGNINGREQUEST] if authority is not None else []
        requests += [SECRET, SERVICEACCOUNT] if root_ca else []
        whole = dict.fromkeys([*kinds_of(chosen), NAMESPACE, NODE, POD, JOB, *requests, *kinds])
        self.cache = Cache(whole, metadata_only=swept, lens_only=(POD,))
        self._recorders = {one.name: EventRecorder(client, clock, one.name) for one in chosen}
        self._recorders[garbage.NAME] = EventRecorder(client, clock, garbage.NAME)
        self._recorders[ephemeral.NAME] = EventRecorder(client, clock, ephemeral.NAME)
        self._runners = {one.name: Runner(one, client, self.cache, clock, self._recorders[one.name]) for one in chosen}
        inside = [kind for kind in swept if kind.is_namespaced]
        self._parts: dict[str, Part] = {
            garbage.NAME: garbage.GarbageCollector(client, self.cache, clock, self._recorders[garbage.NAME]),
            "namespace-controller": namespace.NamespaceDeleter(client, self.cache, clock, inside),
            "job-tracking": tracking.LostPods(client, self.cache),
            "pod-garbage-collector": podgc.PodGarbage(client, self.cache, clock),
            **self._runners,
        }
        if PERSISTENTVOLUMECLAIM in whole:
            recorder = self._recorders[ephemeral.NAME]
            self._parts[ephemeral.NAME] = ephemeral.EphemeralVolumes(client, self.cache, clock, recorder)
        if root_ca:
            self._parts["token-controller"] = tokens.LongTokens(client, self.cache, clock, root_ca)
        if authority is not None:
            self._parts["certificates"] = Certificates(client, self.cache, clock, authority)

    @property
    def is_idle(self) -> bool:
        """No controller has anything to plan; timers may stand."""
        return all(part.is_idle for part in self._parts.values())

    @property
    def crashes(self) -> int:
        """How often a plan raised what it must not: a bug; tests expect 0."""
        return sum(runner.crashes for runner in self._runners.values())

    def why(self, controller: str, namespace: str, name: str) -> str:
        """In words, what this controller's object waits for; "" when nothing."""
        return self._runners[controller].why((namespace, name))

    def reasons(self, group: str, kind: str, namespace: str, name: str) -> dict[str, str]:
        """What every controller of such an object says, by the controllers' names; who has nothing to say is out."""
        mine = {one: runner for one, runner in self._runners.items() if runner.is_about(group, kind)}
        return {one: said for one, runner in mine.items() if (said := runner.why((namespace, name)))}

    def lines(self) -> list[str]:
        """The queues' metrics in Prometheus' text form."""
        return figures.lines({name: runner.queue for name, runner in self._runners.items()})

    async def run(self, ready: Ready) -> None:
        """Fill the cache, then run every controller until cancelled."""
        async with asyncio.TaskGroup() as group:
            await tasks.start(group, "controllers' cache", self._keep_cache)
            for name, recorder in self._recorders.items():
                await tasks.start(group, f"{name} events", recorder.run)
            for name, part in self._parts.items():
                await tasks.start(group, name, part.run)
            ready()

    async def _keep_cache(self, ready: Ready) -> None:
        await reflector.run(self._client, self.cache, self._clock, ready)
