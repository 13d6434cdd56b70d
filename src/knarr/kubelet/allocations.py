"""What of the node is given to whom: admits pods, and says whether a bigger pod would still fit.

Answers come from admission.py over the workers' pods as they are now; nothing is kept but who waits for room. What a
critical pod waits for is its own from that moment on: who comes after it counts it as if it were here already. A label
that this kubelet has not heard of yet may be why a pod came, so it asks the API before it refuses for labels.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from knarr.base.errors import KnarrError
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import admission, demands, ending, preemption
from knarr.kubelet.admission import Place
from knarr.kubelet.standing import Stop

REJECTED = "Pod was rejected: "
ROOM_SECONDS = 10.0
"""What pods that make room for another may take beyond their grace."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """A critical pod for which room is being made, and the uids of those that leave it to it."""

    pod: Pod
    room: frozenset[str]


class Allocations:
    """`place` tells of the node without its pods, `pods` of those that hold something of it; `end` ends one by uid,
    `is_ending` says of one whether it ends already."""

    def __init__(
        self,
        place: Callable[[], Place],
        pods: Callable[[], Iterable[Pod]],
        fetch_node: Callable[[], Awaitable[Node]],
        end: Callable[[str, Stop], None],
        is_ending: Callable[[str], bool],
    ) -> None:
        self._place = place
        self._pods = pods
        self._fetch_node = fetch_node
        self._end = end
        self._is_ending = is_ending
        self._claims: dict[str, _Claim] = {}
        self._waiting: dict[str, Callable[[], None]] = {}
        self._requests: dict[str, tuple[Pod, demands.Amounts]] = {}

    async def refusal(self, pod: Pod) -> Stop | None:
        """Why this pod may not begin here."""
        found = admission.refusal(pod, self._met_by(pod))
        if found is not None and found.reason == admission.AFFINITY:
            try:
                node = await self._fetch_node()
            except (KnarrError, OSError):
                return found
            found = admission.refusal(pod, replace(self._met_by(pod), node=node))
        return found if found is None or not admission.is_critical(pod) else await self._make_room(pod, found)

    async def _make_room(self, pod: Pod, found: Stop) -> Stop | None:
        """End lesser pods for a critical one that only lacks room, and wait until they have gone."""
        if self._is_ending(pod.metadata.uid):
            return None  # it asks for nothing any more: what ends begins nothing
        claims = self._claims_before(pod.metadata.uid)
        leaving, staying = list[Pod](), list[Pod]()
        for other in self._running(pod.metadata.uid):
            (leaving if self._is_ending(other.metadata.uid) else staying).append(other)
        everybody = (*leaving, *staying, *(claim.pod for claim in claims))
        missing = admission.missing(pod, self._beside(everybody, self._held(everybody)))
        if missing is None:
            return found if admission.refusal(pod, self._met_by(pod)) is not None else None
        chosen = preemption.victims(pod, staying, preemption.rest(missing, leaving))
        if chosen is None:
            return preemption.refusal(missing)
        for victim in chosen:
            self._end(victim.metadata.uid, preemption.WHY)
        seconds = ROOM_SECONDS + max((ending.grace(each) for each in (*leaving, *chosen)), default=0)
        room = {each.metadata.uid for each in (*leaving, *chosen)}
        self._claims[pod.metadata.uid] = _Claim(pod, frozenset(room.difference(*(claim.room for claim in claims))))
        try:
            refused = await self._wait_for_room(pod, found, seconds)
        finally:
            del self._claims[pod.metadata.uid]
        if refused is not None:
            self.freed()  # others may have what it leaves
        return refused

    async def _wait_for_room(self, pod: Pod, found: Stop, seconds: float) -> Stop | None:
        """None once the pod may begin; why not, if that takes too long."""
        refused: Stop | None = found
        try:
            async with asyncio.timeout(seconds):
                while (refused := admission.refusal(pod, self._met_by(pod))) is not None:
                    freed = asyncio.Event()
                    self.wait(pod.metadata.uid, freed.set)
                    await freed.wait()
                    if self._is_ending(pod.metadata.uid):
                        return None
        except TimeoutError:
            return refused
        finally:
            self._waiting.pop(pod.metadata.uid, None)
        return None

    def shortage(self, pod: Pod) -> tuple[str, int, int, int] | None:
        """What a running pod would lack if it were given what it asks for now."""
        return admission.shortage(pod, self._met_by(pod))

    @property
    def allocatable(self) -> Mapping[str, int]:
        return self._place().allocatable

    def wait(self, uid: str, wake: Callable[[], None]) -> None:
        """Call `wake` once when something of the node is free again."""
        self._waiting[uid] = wake

    def freed(self) -> None:
        """A pod has ended, or shrunk."""
        waiting, self._waiting = self._waiting, {}
        for wake in waiting.values():
            wake()

    def ends(self, uid: str) -> None:
        """The pod ends: should it wait for room, it need not."""
        wake = self._waiting.pop(uid, None)
        if wake is not None:
            wake()

    def _met_by(self, pod: Pod) -> Place:
        """The node for that pod: what others hold, and of what they leave the part that is somebody's already."""
        running, claims = self._running(pod.metadata.uid), self._claims_before(pod.metadata.uid)
        left = {uid for claim in claims for uid in claim.room}
        held = [self._held(other for other in running if other.metadata.uid not in left)]
        for claim in claims:
            leaving = self._held(other for other in running if other.metadata.uid in claim.room)
            held.append(demands.largest(leaving, self._held((claim.pod,))))
        self._forget(running)
        return self._beside((*running, *(claim.pod for claim in claims)), demands.total(held))

    def _beside(self, others: tuple[Pod, ...], used: demands.Amounts) -> Place:
        return replace(self._place(), others=others, used=used)

    def _held(self, pods: Iterable[Pod]) -> demands.Amounts:
        """Counted once per version of a pod: a hundred that come together would count each other ten thousand times."""
        found = []
        for pod in pods:
            known = self._requests.get(pod.metadata.uid)
            if known is None or known[0] is not pod:
                known = self._requests[pod.metadata.uid] = (pod, demands.requests(pod))
            found.append(known[1])
        return demands.total(found)

    def _forget(self, running: tuple[Pod, ...]) -> None:
        if len(self._requests) > 2 * len(running) + 8:
            present = {pod.metadata.uid for pod in running}
            self._requests = {uid: known for uid, known in self._requests.items() if uid in present}

    def _running(self, uid: str) -> tuple[Pod, ...]:
        """The pods that hold something, but for that one."""
        return tuple(other for other in self._pods() if other.metadata.uid != uid)

    def _claims_before(self, uid: str) -> tuple[_Claim, ...]:
        """Those of whoever asked for room before that pod did."""
        claims = list(self._claims)
        return tuple(self._claims[each] for each in (claims[: claims.index(uid)] if uid in claims else claims))
