"""Registers the node, reports its status every five minutes or when it changed, and renews its Lease every 10 s.

Acts only; what is said is node_status.py's. Nothing is sent more often, so an idle node costs next to nothing. The
runtime is asked for its health every 10 s, as upstream: a foreign one that has died tells nobody.
"""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from knarr.base import logs
from knarr.base.clock import Clock
from knarr.base.errors import AlreadyExists, Conflict, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client.client import Client, Json
from knarr.cri.messages import runtime as cri_runtime
from knarr.cri.messages.image import ListImagesRequest
from knarr.cri.protocol import ImageService, RuntimeService
from knarr.kinds.core_config import LEASE, NODE
from knarr.kinds.lens.node import Node
from knarr.kubelet import node_events, node_status
from knarr.kubelet.settings import KubeletSettings

_log = logs.log("kubelet")
LEASE_NAMESPACE = "kube-node-lease"
LEASE_RENEW_SECONDS = 10.0
STATUS_SECONDS = 300.0
RUNTIME_SECONDS = 10.0
"""Upstream's nodeStatusUpdateFrequency."""
RETRY_SECONDS = 0.2
RETRY_SECONDS_MAX = 5.0


class Heartbeat:
    """One node's voice. `poke` asks for a status report soon (pressure, images)."""

    def __init__(
        self,
        client: Client,
        runtime: RuntimeService,
        images: ImageService,
        settings: KubeletSettings,
        clock: Clock,
        *,
        tell: Callable[[str], None],
    ) -> None:
        """`tell` records an Event of that reason about the Node."""
        self._tell = tell
        self._is_cordoned = False
        self._client = client
        self._runtime = runtime
        self._images = images
        self._settings = settings
        self._clock = clock
        self._machine = node_status.machine(settings.root_dir)
        self._uid = ""
        self.node = msgspec.convert(node_status.node(settings, self._machine), Node)
        self._poked = asyncio.Event()
        self._pressures: frozenset[str] = frozenset()
        self._faults: tuple[str, ...] = ()
        self._said = cri_runtime.StatusResponse()
        self.version = ""

    @property
    def machine(self) -> node_status.Machine:
        return self._machine

    @property
    def node_uid(self) -> str:
        """The uid of this machine's Node, "" before it is registered."""
        return self._uid

    @property
    def pressures(self) -> frozenset[str]:
        return self._pressures

    async def fetch_node(self) -> Node:
        """This machine's Node as the API has it now: others label and taint it."""
        self._take(msgspec.convert(await self._client.get(NODE, "", self._settings.node_name), Node))
        return self.node

    def heard(self, node: Node) -> None:
        """This machine's Node as somebody changed it."""
        self._take(node)
        # Unknown is what the node controller says of one that was silent: an outage is over.
        is_lost = any((each.type, each.status) == ("Ready", "Unknown") for each in self.node.status.conditions)
        if is_lost or node_status.advertised(self.node.status):
            self.poke()

    def _take(self, node: Node) -> None:
        """Know the Node as this, unless something newer is known: answers and watch events overtake each other."""
        if node.metadata.uid == self.node.metadata.uid and _revision(node) < _revision(self.node):
            return
        self.node = node
        for reason in node_events.of_schedulability(self._is_cordoned, node.spec.unschedulable):
            self._tell(reason)
        self._is_cordoned = node.spec.unschedulable

    def poke(self) -> None:
        self._poked.set()

    def set_pressures(self, found: frozenset[str]) -> None:
        """The pressure conditions that hold; a change is reported at once."""
        if found != self._pressures:
            self._pressures = found
            self.poke()

    async def run(self, ready: Ready) -> None:
        """Register, report, then go on for ever; ready once the first status is written."""
        delay = RETRY_SECONDS
        while True:
            try:
                await self._register()
                await self._report()
                break
            except Conflict:
                continue  # a controller was quicker; the next try reads what it wrote
            except (KnarrError, OSError) as error:
                _log.info("node was not registered %s", logs.fields(node=self._settings.node_name, error=error))
                await asyncio.sleep(delay)
                delay = min(RETRY_SECONDS_MAX, delay * 2)
        ready()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew_forever(), name="node lease")
            group.create_task(self._report_forever(), name="node status")
            group.create_task(self._watch_runtime(), name="runtime health")

    async def _register(self) -> None:
        body = node_status.node(self._settings, self._machine)
        try:
            created = await self._client.create(NODE, "", body)
        except AlreadyExists:
            patch = {"metadata": {"labels": body["metadata"]["labels"]}}
            created = await self._client.patch(NODE, "", self._settings.node_name, patch)
        self._uid = created["metadata"]["uid"]
        self.node = msgspec.convert(created, Node)
        self._is_cordoned = self.node.spec.unschedulable

    async def _report(self) -> None:
        """Write the status if anything but a heartbeat time changed, or if the last report is old."""
        fresh = await self._status()
        fresh["allocatable"] |= node_status.advertised(self.node.status)
        # What the API has, not what was reported last: the node controller may have written Unknown meanwhile.
        before = msgspec.to_builtins(self.node.status.conditions)
        wanted = node_status.stamped(fresh, before)
        written = await self._client.patch(
            NODE, "", self._settings.node_name, {"status": wanted}, patch="strategic", subresource="status"
        )
        self._take(msgspec.convert(written, Node))
        for reason in node_events.of_conditions(before, written.get("status", wanted).get("conditions", ())):
            self._tell(reason)

    async def _status(self) -> Json:
        self._faults = await self._runtime_faults()
        try:
            images = (await self._images.list_images(ListImagesRequest())).images
        except (KnarrError, OSError):
            images = ()  # the runtime is down, as its faults say
        health = node_status.Health(self._faults, self._pressures, self._said)
        now = self._clock.now()
        return node_status.status(self._settings, self._machine, self.version, images, health=health, now=now)

    async def _runtime_faults(self) -> tuple[str, ...]:
        """What keeps the runtime from running pods, in words; nothing when it is well."""
        try:
            answer = await self._runtime.status(cri_runtime.StatusRequest())
        except (KnarrError, OSError) as error:
            return (f"container runtime is down: {error}",)
        self._said = answer
        found = answer.status.conditions if answer.status else ()
        return tuple(f"container runtime: {c.type}: {c.message or c.reason}" for c in found if not c.status)

    async def _watch_runtime(self) -> None:
        """Report at once that the runtime has died, or is well again."""
        while True:
            await asyncio.sleep(RUNTIME_SECONDS)
            if bool(await self._runtime_faults()) != bool(self._faults):
                self.poke()

    async def _report_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATUS_SECONDS):
                    await self._poked.wait()
            self._poked.clear()
            try:
                await self._report()
            except NotFound:
                await self._register_again()
            except (KnarrError, OSError) as error:
                _log.info("node status was not written %s", logs.fields(error=error))
                await asyncio.sleep(RETRY_SECONDS_MAX)
                self._poked.set()

    async def _register_again(self) -> None:
        """Someone deleted the Node; this machine still lives."""
        with contextlib.suppress(KnarrError, OSError):
            await self._register()
        self._poked.set()

    async def _renew_forever(self) -> None:
        while True:
            try:
                await self._renew()
                await asyncio.sleep(LEASE_RENEW_SECONDS)
            except (KnarrError, OSError) as error:
                _log.info("node lease was not renewed %s", logs.fields(error=error))
                await asyncio.sleep(1.0)

    async def _renew(self) -> None:
        body = node_status.lease(self._settings, self._uid, self._clock.now())
        try:
            await self._client.patch(LEASE, LEASE_NAMESPACE, self._settings.node_name, {"spec": body["spec"]})
        except NotFound:
            await self._client.create(LEASE, LEASE_NAMESPACE, body)
            self.poke()  # a Lease goes with its Node: that may have gone too


def _revision(node: Node) -> int:
    return int(node.metadata.resource_version or 0)
