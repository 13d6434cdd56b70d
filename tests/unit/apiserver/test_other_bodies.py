"""Bodies that are no object of the route's kind: whatever they hold, the answer is the client's error, not ours."""

from typing import Any

import pytest

from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.apiserver.tokens import Tokens
from knarr.store.memory import MemoryStore
from tests.unit.apiserver.conftest import Asker
from tests.unit.apiserver.test_access import new_key

CORE = "/api/v1/namespaces/default"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
JUNK = (1, 10**30, 1.5, True, "x", [1], [None], {"a": {"b": []}})
# method, path, the places where junk is put
PLACES = (
    ("POST", f"{CORE}/serviceaccounts/default/token", "spec spec.audiences spec.boundObjectRef spec.expirationSeconds"),
    ("POST", f"{CORE}/pods/p/binding", "metadata metadata.annotations target target.name target.kind"),
    ("POST", f"{CORE}/bindings", "metadata metadata.name target"),
    ("POST", f"{CORE}/pods/p/eviction", "deleteOptions deleteOptions.preconditions deleteOptions.dryRun"),
    ("DELETE", f"{CORE}/pods/p", "gracePeriodSeconds preconditions preconditions.uid dryRun propagationPolicy"),
    ("DELETE", f"{CORE}/pods", "gracePeriodSeconds preconditions dryRun orphanDependents"),
    ("PUT", f"{CORE}/replicationcontrollers/r/scale", "spec spec.replicas metadata metadata.name"),
    ("PATCH", f"{CORE}/replicationcontrollers/r/scale", "spec spec.replicas metadata metadata.name status"),
    (
        "POST",
        f"{AUTHORIZATION}/selfsubjectaccessreviews",
        "spec spec.resourceAttributes spec.nonResourceAttributes",
    ),
    ("POST", f"{AUTHORIZATION}/subjectaccessreviews", "spec spec.groups spec.extra spec.extra.x spec.user"),
    ("POST", f"{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews", "spec spec.resourceAttributes"),
    ("POST", f"{AUTHORIZATION}/selfsubjectrulesreviews", "spec spec.namespace"),
    ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", "spec spec.token spec.audiences"),
)


@pytest.fixture
async def ask() -> Asker:
    store = MemoryStore()
    asker = Asker(Pipeline(ApiServer(store, tokens=Tokens(new_key, store))))
    await asker("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}})
    await asker("POST", f"{CORE}/serviceaccounts", {"metadata": {"name": "default"}})
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"a": "b"}, "template": template}
    await asker("POST", f"{CORE}/replicationcontrollers", {"metadata": {"name": "r"}, "spec": spec})
    return asker


async def seed(ask: Asker) -> None:
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    await ask("POST", f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": spec})


def body(place: str, junk: Any) -> dict[str, Any]:
    made: Any = junk
    for part in reversed(place.split(".")):
        made = {part: made}
    assert isinstance(made, dict)
    return made


@pytest.mark.parametrize("row", PLACES, ids=lambda row: f"{row[0]} {row[1].rpartition('/')[2]}")
async def test_junk_is_the_clients_error(ask: Asker, row: tuple[str, str, str]) -> None:
    method, path, places = row
    media = "application/merge-patch+json" if method == "PATCH" else "application/json"
    faults = []
    for place in places.split():
        for junk in JUNK:
            await seed(ask)
            answer = await ask.send(method, path, body(place, junk), media=media)
            if answer.status >= 500:
                faults.append((place, junk, answer.body))
    assert faults == []


async def test_a_grace_period_that_no_date_can_hold_is_cut(ask: Asker) -> None:
    await seed(ask)
    marked = await ask("DELETE", f"{CORE}/pods/p", {"gracePeriodSeconds": 10**18})
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 10**18
    assert (await ask("DELETE", f"{CORE}/pods/p", {"gracePeriodSeconds": 0}))["kind"] == "Pod"
