"""The gate: turns, seats, refusals, and what the store says about levels."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from knarr.apiserver.bootstrap import objects as bootstrap
from knarr.apiserver.context import RequestContext, User
from knarr.apiserver.fairness.gate import Gate
from knarr.apiserver.pipeline import Pipeline, refusal
from knarr.apiserver.routes import Route
from knarr.apiserver.server import ApiServer
from knarr.base.errors import TooMany
from knarr.store.memory import MemoryStore
from knarr.wire import http
from tests.unit.apiserver.conftest import ADMIN, Asker

AUTHENTICATED = ("system:authenticated",)
FLOOD, QUIET = User("flood", AUTHENTICATED), User("quiet", AUTHENTICATED)
FLOWCONTROL = "/apis/flowcontrol.apiserver.k8s.io/v1"


async def server() -> tuple[ApiServer, Asker]:
    made = ApiServer(MemoryStore())
    pipeline = Pipeline(made)
    await bootstrap.run(pipeline, service_address="10.96.0.1", port=6443)
    made.gate = Gate(made.store, seats=49, turn_seconds=0.0005, refusal_seconds=0.001)
    return made, Asker(pipeline)


def pods_list(server: ApiServer, user: User, verb: str = "list") -> RequestContext:
    route = Route(verb, server.resources.of("", "v1", "pods"), "default")
    return RequestContext(server, http.Request("GET", "/x"), route, {}, user)


@dataclass
class Serving:
    """Writes what it serves down; a request whose user is `held` waits for `release`."""

    served: list[str] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    held: bool = False

    async def __call__(self, context: RequestContext) -> http.Response:
        if self.held:
            await self.release.wait()
        self.served.append(context.user.name)
        return http.Response(200)


async def outcomes(
    gate: Gate, asked: list[RequestContext], serve: Callable[..., Awaitable[http.Response]]
) -> list[int]:
    async def one(context: RequestContext) -> int:
        try:
            return (await gate.passed(context, serve)).status
        except TooMany as error:
            return refusal(error, {}).status

    return list(await asyncio.gather(*(one(context) for context in asked)))


async def test_a_flood_is_refused_past_its_queues_and_a_quiet_user_is_served_among_the_first() -> None:
    made, _ = await server()
    assert made.gate is not None
    serving = Serving()
    asked = [pods_list(made, FLOOD) for _ in range(500)]

    answered = await outcomes(made.gate, [*asked, pods_list(made, QUIET)], serving)

    assert answered[-1] == 200
    assert answered.count(429) > 100
    assert serving.served.index("quiet") < 40


async def test_no_more_of_a_level_run_than_it_has_seats_and_may_borrow() -> None:
    made, _ = await server()
    gate = made.gate
    assert gate is not None
    serving = Serving(held=True)
    tasks = [asyncio.create_task(gate.passed(pods_list(made, FLOOD, "create"), serving)) for _ in range(200)]
    level = gate.levels["global-default"]
    seats, lent = level.seats, sum(each.idle_lendable for each in gate.levels.values() if each is not level)

    for _ in range(400):  # turns of the loop: the seats fill a few at a time
        await asyncio.sleep(0)
    assert level.executing == seats + lent
    serving.release.set()
    answers = await asyncio.gather(*tasks)

    assert {answer.status for answer in answers} == {200}
    assert (level.executing, level.waiting) == (0, 0)


async def test_masters_and_health_are_exempt() -> None:
    made, _ = await server()
    assert made.gate is not None
    health = RequestContext(made, http.Request("GET", "/readyz"), Route("get"), {}, FLOOD)

    assert made.gate.flow(pods_list(made, ADMIN)).is_free
    assert made.gate.flow(health).is_free
    assert not made.gate.flow(pods_list(made, FLOOD)).is_free


async def test_a_client_that_leaves_gives_its_place_back() -> None:
    made, _ = await server()
    gate = made.gate
    assert gate is not None
    serving = Serving()
    tasks = [asyncio.create_task(gate.passed(pods_list(made, FLOOD), serving)) for _ in range(100)]
    await asyncio.sleep(0)
    for task in tasks[50:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await outcomes(gate, [pods_list(made, QUIET)], serving)

    level = gate.levels["global-default"]
    assert (level.executing, level.waiting) == (0, 0)
    assert len(serving.served) <= 100


async def test_answers_name_schema_and_level() -> None:
    _, ask = await server()
    schema = await ask("GET", f"{FLOWCONTROL}/flowschemas/global-default")
    level = await ask("GET", f"{FLOWCONTROL}/prioritylevelconfigurations/global-default")

    response = await ask.as_user(QUIET).send("GET", "/api/v1/namespaces/default/pods")

    assert {
        ("x-kubernetes-pf-flowschema-uid", schema["metadata"]["uid"]),
        ("x-kubernetes-pf-prioritylevel-uid", level["metadata"]["uid"]),
    } <= {*response.headers}


async def test_a_new_schema_counts_as_soon_as_the_gate_has_seen_it() -> None:
    made, ask = await server()
    assert made.gate is not None
    ready = asyncio.Event()
    following = asyncio.create_task(made.gate.run(ready.set))
    await ready.wait()
    rule = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
    subject = {"kind": "User", "user": {"name": "quiet"}}
    spec = {
        "matchingPrecedence": 300,
        "priorityLevelConfiguration": {"name": "system"},
        "rules": [{"subjects": [subject], "resourceRules": [rule]}],
    }
    metadata = {"name": "quiet"}
    made_schema = await ask(
        "POST", f"{FLOWCONTROL}/flowschemas",
        {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": metadata, "spec": spec},
    )  # fmt: skip
    assert made_schema["kind"] == "FlowSchema", made_schema
    for _ in range(3):
        await asyncio.sleep(0)

    assert made.gate.flow(pods_list(made, QUIET)).level.name == "system"
    following.cancel()


async def test_without_their_objects_the_mandatory_ones_hold() -> None:
    gate = Gate(MemoryStore())
    made = ApiServer(MemoryStore(), gate=gate)

    assert gate.flow(pods_list(made, ADMIN)).is_free
    assert gate.flow(pods_list(made, QUIET)).level.name == "catch-all"
