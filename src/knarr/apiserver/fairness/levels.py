"""A priority level: its seats, and its queues of requests that wait for one.

Whoever floods fills only the few queues of its hand (shuffle sharding), and of the queues the one that got least is
served next: so a quiet user of the same level waits for what runs, not for the flood. A level as a whole gets turns
in the measure of its shares. Nothing here waits: gate.py does. Spec: PriorityLevelConfiguration v1.
"""

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

Ticket = TypeVar("Ticket")


class _Meta(msgspec.Struct):
    name: str = ""
    uid: str = ""


class _Queuing(msgspec.Struct, rename="camel"):
    queues: int = 64
    hand_size: int = 8
    queue_length_limit: int = 50


class _Response(msgspec.Struct):
    type: str = "Reject"
    queuing: _Queuing | None = None


class _Limited(msgspec.Struct, rename="camel"):
    nominal_concurrency_shares: int = 30
    lendable_percent: int = 0
    borrowing_limit_percent: int | None = None
    limit_response: _Response = msgspec.field(default_factory=_Response)


class _Spec(msgspec.Struct):
    type: str = "Limited"
    limited: _Limited | None = None


class Configuration(msgspec.Struct):
    """A PriorityLevelConfiguration, as far as a level needs it."""

    metadata: _Meta
    spec: _Spec

    @property
    def limited(self) -> _Limited:
        return self.spec.limited or _Limited()

    @property
    def shares(self) -> int:
        return 0 if self.spec.type == "Exempt" else max(1, self.limited.nominal_concurrency_shares)


decode = msgspec.json.Decoder(Configuration).decode


@dataclass(slots=True)
class Level(Generic[Ticket]):
    """`executing` counts taken seats; `served` is work done by shares, `work` the same of each queue that waits."""

    configuration: Configuration
    seats: int = 0
    executing: int = 0
    waiting: int = 0
    served: float = 0.0
    queues: dict[int, deque[Ticket]] = field(default_factory=dict)
    work: dict[int, float] = field(default_factory=dict)
    floor: float = 0.0

    @property
    def name(self) -> str:
        return self.configuration.metadata.name

    @property
    def is_exempt(self) -> bool:
        return self.configuration.spec.type == "Exempt"

    @property
    def lendable(self) -> int:
        """Seats that other levels may use while nobody here needs them."""
        return self.seats * self.configuration.limited.lendable_percent // 100

    @property
    def idle_lendable(self) -> int:
        """Seats that other levels may use now."""
        return max(0, min(self.lendable, self.seats - self.executing))

    @property
    def borrowable(self) -> int:
        percent = self.configuration.limited.borrowing_limit_percent
        return 1 << 30 if percent is None else self.seats * percent // 100

    def hand(self, flow: str) -> tuple[int, ...]:
        """The queues that a flow may use; none when the level refuses instead of queueing."""
        queuing = self.configuration.limited.limit_response.queuing
        return dealt(flow, queuing.queues, queuing.hand_size) if queuing is not None else ()

    def enqueued(self, hand: tuple[int, ...], ticket: Ticket) -> bool:
        """Put a ticket into the shortest queue of the hand; False when that one is full."""
        queuing = self.configuration.limited.limit_response.queuing
        if queuing is None or not hand:
            return False
        chosen = min(hand, key=lambda index: len(self.queues.get(index, ())))
        queue = self.queues.get(chosen)
        if queue is None:
            queue = self.queues[chosen] = deque()
            self.work[chosen] = max(self.work.get(chosen, 0.0), self.floor)
        if len(queue) >= queuing.queue_length_limit:
            return False
        queue.append(ticket)
        self.waiting += 1
        return True

    def taken(self, cost: Callable[[Ticket], float]) -> Ticket | None:
        """The ticket to serve next, out of the queue that got least; None when nothing waits."""
        if not self.queues:
            return None
        index = min(self.queues, key=self.work.__getitem__)
        queue = self.queues[index]
        ticket = queue.popleft()
        self.waiting -= 1
        self.floor = self.work[index]
        self.work[index] += cost(ticket)
        if not queue:
            del self.queues[index]
        if not self.queues:
            self.work.clear()
            self.floor = 0.0
        return ticket


def dealt(flow: str, queues: int, hand_size: int) -> tuple[int, ...]:
    """`hand_size` different queues that follow from the flow alone."""
    rest = int.from_bytes(hashlib.blake2b(flow.encode(), digest_size=16).digest())
    left = list(range(queues))
    hand = []
    for _ in range(min(hand_size, queues)):
        rest, chosen = divmod(rest, len(left))
        hand.append(left.pop(chosen))
    return tuple(hand)


def share_out(levels: list[Level[Ticket]], total: int) -> None:
    """Give every level its seats: the total in the measure of its shares, at least one."""
    shares = sum(level.configuration.shares for level in levels) or 1
    for level in levels:
        level.seats = max(1, -(-total * level.configuration.shares // shares))
