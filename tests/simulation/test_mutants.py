"""Can the checks fail? Controllers with one mistake each, as people make them, are caught by a safety sentence.

A mutant is a controller whose plan is spoiled, or a client that hides what the real one tells. Every mutant must be
caught within SEEDS_MAX seeds, by the sentence that its row names; the same seeds are clean without the mistake.
"""

import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from knarr.base.clock import Instant
from knarr.base.ids import Revision
from knarr.client.client import Client, DeleteOptions, Json, ListResult, PatchType, WatchEvent
from knarr.client.view import View
from knarr.controllers.controller import Action, Controller, Create, Patch, Plan
from knarr.controllers.job.members import FINALIZER
from knarr.kinds.core_pod import POD
from knarr.kinds.registry import Kind
from tests.simulation import virtual_time
from tests.simulation.acts import ACTS
from tests.simulation.world import CHOSEN, Trial, World, simulate

SEEDS_MAX = 40
Spoil = Callable[[Any, Plan], Plan]


def spoiled(name: str, spoil: Spoil) -> Sequence[Controller]:
    """All controllers, the one of that name with its plan spoiled."""

    def of(sound: Controller) -> Controller:
        def plan(root: Any, view: View, now: Instant) -> Plan:
            return spoil(root, sound.plan(root, view, now))

        return dataclasses.replace(sound, plan=plan)

    return tuple(of(one) if one.name == name else one for one in CHOSEN)


def created(plan: Plan) -> list[Action]:
    return [action for action in plan.actions if isinstance(action, Create) and action.kind == POD]


def one_too_many(_root: Any, plan: Plan) -> Plan:
    """Off by one."""
    return dataclasses.replace(plan, actions=[*plan.actions, *created(plan)[:1]])


def a_burst(root: Any, plan: Plan) -> Plan:
    """Parallelism does not count: all completions start at once."""
    wanted = created(plan)
    return dataclasses.replace(plan, actions=[*plan.actions, *wanted[:1] * (root.spec.completions or 0)])


def impatient(_root: Any, plan: Plan) -> Plan:
    """Old sets go at once instead of as the new one becomes available."""
    emptied = [
        dataclasses.replace(action, body={**action.body, "spec": {**action.body["spec"], "replicas": 0}})
        if isinstance(action, Patch) and action.body.get("spec", {}).get("replicas", 9) < 9
        else action
        for action in plan.actions
    ]
    return dataclasses.replace(plan, actions=emptied)


def greedy(_root: Any, plan: Plan) -> Plan:
    """The new set is made at full size beside the old one."""
    grown = [
        dataclasses.replace(action, body={**action.body, "spec": {**action.body["spec"], "replicas": 8}})
        if isinstance(action, Create)
        else action
        for action in plan.actions
    ]
    return dataclasses.replace(plan, actions=grown)


def all_at_once(root: Any, plan: Plan) -> Plan:
    """Every ordinal starts with the first."""
    actions: list[Action] = list(plan.actions)
    for action in plan.actions:
        if isinstance(action, Create) and action.kind == POD and action.body["metadata"]["name"].endswith("-0"):
            name = f"{root.metadata.name}-1"
            body = {**action.body, "metadata": {**action.body["metadata"], "name": name}}
            actions.append(dataclasses.replace(action, body=body, tolerate_existing=True))
    return dataclasses.replace(plan, actions=actions)


def counting_what_is_on_its_way(_root: Any, plan: Plan) -> Plan:
    """Pods are counted while their uid stands in status as well."""
    if plan.status is None:
        return plan
    waiting = len(plan.status.get("uncountedTerminatedPods", {}).get("succeeded", ()))
    return dataclasses.replace(plan, status={**plan.status, "succeeded": plan.status.get("succeeded", 0) + waiting})


def forgetting_to_note(_root: Any, plan: Plan) -> Plan:
    """The finalizer goes, but the count is not kept."""
    if plan.status is None or not any(isinstance(one, Patch) and _frees(one) for one in plan.actions):
        return plan
    return dataclasses.replace(plan, status={key: value for key, value in plan.status.items() if key != "succeeded"})


def _frees(action: Patch) -> bool:
    return FINALIZER not in (action.body.get("metadata", {}).get("finalizers") or ())


def named_by_chance(root: Any, plan: Plan) -> Plan:
    """A CronJob's Jobs are named by the moment of their creation, so a crash makes them twice."""
    actions = [
        dataclasses.replace(action, body={**action.body, "metadata": _generated(action.body["metadata"], root)})
        if isinstance(action, Create)
        else action
        for action in plan.actions
    ]
    return dataclasses.replace(plan, actions=actions)


def _generated(metadata: Json, root: Any) -> Json:
    rest = {key: value for key, value in metadata.items() if key != "name"}
    return {**rest, "generateName": f"{root.metadata.name}-"}


class Forgetful:
    """The client of a controller that never learns the revision of its own writes: it plans on a stale view."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        return await self._client.get(kind, namespace, name)

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> ListResult:
        return await self._client.list(kind, namespace, labels=labels, fields=fields)

    def watch(
        self, kind: Kind, namespace: str = "", *, since: Revision, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        return self._client.watch(kind, namespace, since=since, labels=labels, fields=fields)

    async def create(self, kind: Kind, namespace: str, body: Json, *, name: str = "", subresource: str = "") -> Json:
        return unrevised(await self._client.create(kind, namespace, body, name=name, subresource=subresource))

    async def update(self, kind: Kind, namespace: str, name: str, body: Json, *, subresource: str = "") -> Json:
        return await self._client.update(kind, namespace, name, body, subresource=subresource)

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: Any, *, patch: PatchType = "merge", subresource: str = ""
    ) -> Json:
        return await self._client.patch(kind, namespace, name, body, patch=patch, subresource=subresource)

    async def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions | None = None) -> None:
        await self._client.delete(kind, namespace, name, options)


def unrevised(written: Json) -> Json:
    metadata = {key: value for key, value in written["metadata"].items() if key != "resourceVersion"}
    return {**written, "metadata": metadata}


def mutant(act: str, name: str, spoil: Spoil, sentence: str) -> Any:
    return pytest.param(act, {"controllers": spoiled(name, spoil)}, sentence, id=f"{name}-{spoil.__name__}")


MUTANTS = (
    mutant("scaling", "replicaset-controller", one_too_many, "more than it ever wanted"),
    mutant("claims", "replication-controller", one_too_many, "more than it ever wanted"),
    mutant("rollout", "deployment-controller", greedy, "sets want"),
    mutant("rollout", "deployment-controller", impatient, "ready pods are left"),
    mutant("statefulset", "statefulset-controller", all_at_once, "came before"),
    mutant("daemonset", "daemonset-controller", one_too_many, "daemon pods for node"),
    mutant("job", "job-controller", counting_what_is_on_its_way, "successes"),
    mutant("job", "job-controller", forgetting_to_note, "unlearned a success"),
    mutant("job", "job-controller", a_burst, "at a time"),
    mutant("cronjob", "cronjob-controller", named_by_chance, "two jobs of"),
    pytest.param("scaling", {"seen": Forgetful}, "more than it ever wanted", id="a-view-older-than-own-writes"),
)


def broken(trial: Trial, act: str) -> list[str]:
    """The sentences that a world breaks, whether or not it comes to rest."""
    worlds: list[World] = []

    async def watched(world: World) -> None:
        worlds.append(world)
        await ACTS[act].act(world)

    try:
        virtual_time.run(simulate(trial, watched))
    except Exception:  # A mutant may also keep the world from its end; the sentences are asked for here.
        assert worlds
    return worlds[0].watchman.broken


@pytest.mark.parametrize(("act", "mistake", "sentence"), MUTANTS)
def test_a_mistake_is_caught(act: str, mistake: dict[str, Any], sentence: str) -> None:
    caught = next((seed for seed in range(SEEDS_MAX) if _is_told(Trial(seed, **mistake), act, sentence)), None)
    assert caught is not None, f"no seed below {SEEDS_MAX} shows the mistake"
    assert broken(Trial(caught), act) == []


def _is_told(trial: Trial, act: str, sentence: str) -> bool:
    return any(sentence in told for told in broken(trial, act))
