"""The gate: every request of a socket passes it once its user is known, and waits there while its level has no turn.

All requests share one thread, so what is scarce is the loop's time: in one *turn* of the loop requests start until
their expected cost fills TURN_SECONDS; the rest queue by priority level and flow (levels.py) and are let through in
the turns that follow. Seats bound besides how many of a level run at once (writes wait for the disk). Who finds its
queue full gets 429 with Retry-After. Unsaturated a request costs one look-up and three additions.
Not here: streams (exec, logs, proxy) and callers in process, which pass freely; a watch counts until it begins.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from knarr.apiserver.context import RequestContext, User
from knarr.apiserver.fairness import classify, configuration, levels, tallies
from knarr.apiserver.fairness.classify import Asked, FlowSchema
from knarr.apiserver.resources import Json, Resource
from knarr.base import logs
from knarr.base.errors import Expired, TooMany
from knarr.base.tasks import Ready
from knarr.store.store import Store
from knarr.wire import http

SEATS_TOTAL: Final = 600
"""Upstream's 400 reading and 200 writing requests in flight."""
TURN_SECONDS: Final = 0.004
"""What a turn may take: a request that comes late in it starts that much later."""
WAIT_SECONDS: Final = 15.0
"""A quarter of a request's minute, as upstream."""
REFUSAL_SECONDS: Final = 0.25
"""How long a refusal takes: 500 connections that ignore Retry-After cost 2,000 refusals a second, a tenth of a core."""
REFUSING_MAX: Final = 2000
"""Refusals that may be on their way; past it they are given at once."""
COST_FIRST: Final = 0.0001
COST_MAX: Final = 0.1
"""A request that took longer waited for something: it did not hold the loop."""
FLOWS_MAX: Final = 4096
LONG_RUNNING: Final = frozenset(("exec", "attach", "portforward", "proxy", "log"))
READING: Final = frozenset(("get", "list", "watch"))
SCHEMAS, LEVELS = "/registry/flowschemas/", "/registry/prioritylevelconfigurations/"
Level = levels.Level["_Waiting"]
Read = TypeVar("Read", levels.Configuration, FlowSchema)
_log = logs.log("apiserver")


@dataclass(slots=True, eq=False)
class Flow:
    """Where requests of one user, verb and resource go. `cost` is learnt; `headers` name schema and level."""

    level: Level
    tally: tallies.Tally
    hand: tuple[int, ...]
    headers: http.Headers
    is_free: bool
    is_reading: bool
    cost: float = COST_FIRST


@dataclass(slots=True, eq=False)
class _Waiting:
    flow: Flow
    future: "asyncio.Future[None]"


class Gate:
    """The gate of one server. `run` keeps it at what the store says; before that the built-in objects hold."""

    def __init__(
        self,
        store: Store,
        *,
        seats: int = SEATS_TOTAL,
        turn_seconds: float = TURN_SECONDS,
        refusal_seconds: float = REFUSAL_SECONDS,
    ) -> None:
        self._store = store
        self._seats = seats
        self._turn_seconds = turn_seconds
        self._refusal_seconds = refusal_seconds
        self._refusing = 0
        self.levels: dict[str, Level] = {}
        self._tallies: dict[tuple[str, str], tallies.Tally] = {}
        self._schemas: list[FlowSchema] = []
        self._flows: dict[tuple[User, str, Resource | str, str, str], Flow] = {}
        self._spent = 0.0
        self._is_open = False
        self._waiting = 0
        self.reload()

    # -- configuration ------------------------------------------------------------------------------------------------

    async def run(self, ready: Ready) -> None:
        """Follow the flow schemas and priority levels of the store until cancelled."""
        async with asyncio.TaskGroup() as group:
            for prefix in (SCHEMAS, LEVELS):
                group.create_task(self._follow(prefix), name=f"fairness follows {prefix}")
            ready()

    async def _follow(self, prefix: str) -> None:
        while True:
            watcher = self._store.watch(prefix, self._store.revision)
            self.reload()
            try:
                while await watcher.batch():
                    self.reload()
            except Expired:
                continue
            except StopAsyncIteration:
                return
            finally:
                watcher.close()

    def reload(self) -> None:
        """Take over what the store says now. Requests that wait or run keep the level that they are in."""
        found = _readable(levels.decode, self._store, LEVELS)
        wanted = {each.metadata.name: each for each in _mandatory_levels()}
        wanted |= {each.metadata.name: each for each in found}
        for name, each in wanted.items():
            if name in self.levels:
                self.levels[name].configuration = each
            else:
                self.levels[name] = levels.Level(each)
        for name in [name for name in self.levels if name not in wanted]:
            del self.levels[name]
        levels.share_out([level for level in self.levels.values() if not level.is_exempt], self._seats)
        schemas = {each.metadata.name: each for each in _mandatory_schemas()}
        schemas |= {each.metadata.name: each for each in _readable(classify.decode, self._store, SCHEMAS)}
        self._schemas = classify.ordered([each for each in schemas.values() if each.level in self.levels])
        wanted_tallies = [(each.metadata.name, each.level) for each in self._schemas]
        self._tallies = {key: self._tallies.get(key) or tallies.Tally(*key) for key in wanted_tallies}
        self._flows.clear()

    # -- one request --------------------------------------------------------------------------------------------------

    def flow(self, context: RequestContext) -> Flow:
        """Where this request belongs."""
        route, user = context.route, context.user
        resource: Resource | str = route.resource or context.request.path
        key = (user, route.verb, resource, route.subresource, route.namespace)
        flow = self._flows.get(key)
        if flow is None:
            if len(self._flows) >= FLOWS_MAX:
                self._flows.clear()
            flow = self._flows[key] = self._classified(context)
        return flow

    def _classified(self, context: RequestContext) -> Flow:
        route, user = context.route, context.user
        if route.resource is None:
            asked = Asked(route.verb, path=context.request.path)
        else:
            plural = route.resource.plural + (f"/{route.subresource}" if route.subresource else "")
            asked = Asked(route.verb, route.resource.group, plural, route.namespace)
        schema = classify.schema_of(self._schemas, user, asked)
        if schema is None:  # a user without any group; upstream's catch-all is the last resort as well
            schema = next(each for each in self._schemas if each.metadata.name == "catch-all")
        level = self.levels[schema.level]
        hand = level.hand(f"{schema.metadata.name}/{schema.flow(user, asked)}")
        is_free = level.is_exempt or route.subresource in LONG_RUNNING
        headers = (
            ("x-kubernetes-pf-flowschema-uid", schema.metadata.uid),
            ("x-kubernetes-pf-prioritylevel-uid", level.configuration.metadata.uid),
        )
        tally = self._tallies[schema.metadata.name, schema.level]
        return Flow(level, tally, hand, headers, is_free, route.verb in READING)

    async def passed(
        self, context: RequestContext, serve: Callable[[RequestContext], Awaitable[http.Response]]
    ) -> http.Response:
        """The answer of `serve`, once the request has its turn. Raises TooMany."""
        flow = self.flow(context)
        if flow.is_free:
            flow.tally.dispatched += 1
            flow.tally.executing += 1
            try:
                response = await serve(context)
            finally:
                flow.tally.executing -= 1
        else:
            if not self._starts(flow):
                await self._queued(flow)
            began = time.perf_counter()
            try:
                response = await serve(context)
            finally:
                self._ended(flow, began)
        response.headers += flow.headers
        return response

    def _starts(self, flow: Flow) -> bool:
        level = flow.level
        if level.waiting or self._spent >= self._turn_seconds or level.executing >= level.seats:
            return False
        self._start(flow)
        if not self._is_open:
            self._open_turn()
        return True

    def _start(self, flow: Flow) -> None:
        level = flow.level
        level.executing += 1
        flow.tally.executing += 1
        flow.tally.dispatched += 1
        level.served += flow.cost / level.configuration.shares
        self._spent += flow.cost

    def _ended(self, flow: Flow, began: float) -> None:
        flow.level.executing -= 1
        flow.tally.executing -= 1
        if flow.is_reading:  # a write's time is mostly the disk's, not the loop's
            took = min(time.perf_counter() - began, COST_MAX)
            # Up at once, down slowly: a flow of long lists is never taken for one of short ones.
            if took > flow.cost:
                self._spent += took - flow.cost
                flow.cost = took
            else:
                flow.cost += (took - flow.cost) * 0.1
        if self._waiting and not self._is_open:
            self._open_turn()

    async def _queued(self, flow: Flow) -> None:
        """Wait for a turn. Raises TooMany when there is no room to wait, or no turn comes."""
        level, loop = flow.level, asyncio.get_running_loop()
        one = _Waiting(flow, loop.create_future())
        if not self._waiting:
            self._forget_service()
        if not level.enqueued(flow.hand, one):
            if not flow.hand and level.executing < self._seats_of(level):
                self._start(flow)  # a level without queues: its seats are all that counts
                return
            await self._refuse(flow.tally, tallies.QUEUE_FULL if flow.hand else tallies.CONCURRENCY)
        began, flow.tally.waiting = time.perf_counter(), flow.tally.waiting + 1
        self._waiting += 1
        if not self._is_open:
            self._open_turn()
        alarm = loop.call_later(WAIT_SECONDS, _give_up, one.future)
        try:
            await one.future
        except asyncio.CancelledError:
            if one.future.done() and not one.future.cancelled() and one.future.exception() is None:
                self._ended(flow, time.perf_counter())  # it had its turn at the moment in which its client left
            raise
        except TooMany:
            flow.tally.rejected[tallies.TIME_OUT] += 1
            raise
        else:
            flow.tally.waits.observe(time.perf_counter() - began)
        finally:
            flow.tally.waiting -= 1
            alarm.cancel()

    async def _refuse(self, tally: tallies.Tally, reason: str) -> None:
        """Raises TooMany, but not at once: refusals to who asks again and again would fill the turns of all."""
        tally.rejected[reason] += 1
        if self._refusing < REFUSING_MAX:
            self._refusing += 1
            try:
                await asyncio.sleep(self._refusal_seconds)
            finally:
                self._refusing -= 1
        raise TooMany("Too many requests, please try again later.", 1)

    def _forget_service(self) -> None:
        """From the moment in which requests queue, levels are measured anew."""
        for level in self.levels.values():
            level.served = 0.0

    # -- turns --------------------------------------------------------------------------------------------------------

    def _open_turn(self) -> None:
        self._is_open = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Begin a turn of the loop: who waits goes first, level by level in the measure of shares."""
        self._is_open = False
        self._spent = 0.0
        while self._waiting and self._spent < self._turn_seconds:
            level = self._next_level()
            if level is None:
                return  # all seats are taken: the next that ends opens a turn
            one = level.taken(_cost)
            assert one is not None
            self._waiting -= 1
            if one.future.done():
                continue  # its client is gone, or it waited too long
            self._start(one.flow)
            one.future.set_result(None)
        if self._waiting and self._spent:
            self._open_turn()

    def _next_level(self) -> Level | None:
        ready = [level for level in self.levels.values() if level.waiting and level.executing < self._seats_of(level)]
        if not ready:
            return None
        chosen = min(ready, key=lambda level: level.served)
        for level in self.levels.values():
            level.served = max(level.served, chosen.served)  # who was idle saves nothing up
        return chosen

    def _seats_of(self, level: Level) -> int:
        """A level's own seats, and what idle levels lend it."""
        if level.executing < level.seats:
            return level.seats
        lent = sum(other.idle_lendable for other in self.levels.values() if other is not level and not other.is_exempt)
        return level.seats + min(lent, level.borrowable)

    def lines(self) -> list[str]:
        """The metrics of schemas and levels in Prometheus' text form."""
        return tallies.lines(self._tallies.values(), self.levels.values())


def _readable(decode: Callable[[bytes], Read], store: Store, prefix: str) -> list[Read]:
    """What can be read under the prefix; validation lets nothing else in, but a server must not end of it."""
    found = []
    for entry in store.list(prefix).entries:
        try:
            found.append(decode(entry.value))
        except msgspec.ValidationError as error:
            _log.error("%s is left out %s", entry.key, logs.fields(error=error))
    return found


def _cost(one: _Waiting) -> float:
    return one.flow.cost


def _give_up(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_exception(TooMany("Too many requests, please try again later.", 1))


def _mandatory_levels() -> list[levels.Configuration]:
    return [levels.decode(_encoded(each)) for each in configuration.mandatory_levels()]


def _mandatory_schemas() -> list[FlowSchema]:
    return [classify.decode(_encoded(configuration.schema(name))) for name in configuration.MANDATORY]


def _encoded(value: Json) -> bytes:
    return msgspec.json.encode(value)
