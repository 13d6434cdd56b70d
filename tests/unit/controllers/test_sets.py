"""DaemonSet, StatefulSet, budgets and quota: the decisions that transcripts do not reach."""

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.controllers import daemonset, disruption, quota
from knarr.controllers.daemonset import Wanted
from knarr.controllers.statefulset import identity, sync
from knarr.kinds.core_config import CONFIGMAP
from knarr.kinds.lens.container import Container, ResourceRequirements
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.node import Node, NodeSpec
from knarr.kinds.lens.pod import Pod, PodSpec, PodTemplateSpec
from knarr.kinds.lens.policy import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    ResourceQuota,
    ResourceQuotaSpec,
    ScopeSelector,
)
from knarr.kinds.lens.scheduling import (
    Affinity,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    Taint,
    Toleration,
    WeightedPodAffinityTerm,
)
from knarr.kinds.lens.sets import DaemonSet, DaemonSetSpec, StatefulSet, StatefulSetSpec

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def node(name: str = "n", *taints: tuple[str, str], labels: dict[str, str] | None = None) -> Node:
    spec = NodeSpec(taints=tuple(Taint(key=key, effect=effect) for key, effect in taints))
    return Node(metadata=ObjectMeta(name=name, labels=labels or {}), spec=spec)


def daemons(**spec: object) -> DaemonSet:
    return DaemonSet(spec=DaemonSetSpec(template=PodTemplateSpec(spec=PodSpec(**spec))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("daemon_set", "one", "wanted"),
    [
        (daemons(), node(), Wanted(True, True)),
        (daemons(), node("n", ("k", "NoSchedule")), Wanted(False, True)),
        (daemons(), node("n", ("k", "NoExecute")), Wanted(False, False)),
        (daemons(), node("n", ("k", "PreferNoSchedule")), Wanted(True, True)),
        (daemons(), node("n", ("node.kubernetes.io/not-ready", "NoExecute")), Wanted(True, True)),
        (daemons(), node("n", ("node.kubernetes.io/unschedulable", "NoSchedule")), Wanted(True, True)),
        (daemons(tolerations=(Toleration(operator="Exists"),)), node("n", ("k", "NoExecute")), Wanted(True, True)),
        (daemons(node_selector={"disk": "ssd"}), node(), Wanted(False, False)),
        (daemons(node_selector={"disk": "ssd"}), node(labels={"disk": "ssd"}), Wanted(True, True)),
        (daemons(node_name="other"), node(), Wanted(False, False)),
    ],
)
def test_a_daemon_set_wants_the_documented_nodes(daemon_set: DaemonSet, one: Node, wanted: Wanted) -> None:
    assert daemonset.wanted_on(daemon_set, one) == wanted


def test_a_daemon_pod_is_pinned_to_its_node_beside_its_other_affinity() -> None:
    given = {"podAffinity": {"x": 1}, "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    field = {"key": "metadata.name", "operator": "In", "values": ["n"]}
    assert daemonset.pinned(given, "n") == {
        "podAffinity": {"x": 1},
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [],
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [field]}]},
        },
    }


def test_a_stateful_pod_has_its_identity_and_its_claims() -> None:
    stateful_set = StatefulSet(
        metadata=ObjectMeta(name="db", uid="u"), spec=StatefulSetSpec(service_name="db-headless")
    )
    template = {"spec": {"volumes": [{"name": "work", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]}}
    claims = [{"metadata": {"name": "work"}, "spec": {}}]
    body = identity.pod_body(stateful_set, identity.Version("h", template), 2, claims)
    assert (body["metadata"]["name"], body["spec"]["hostname"], body["spec"]["subdomain"]) == (
        "db-2",
        "db-2",
        "db-headless",
    )
    assert body["spec"]["volumes"] == [
        {"name": "tmp", "emptyDir": {}},
        {"name": "work", "persistentVolumeClaim": {"claimName": "work-db-2"}},
    ]


@pytest.mark.parametrize(
    ("name", "number"), [("db-3", 3), ("db-", None), ("db-x", None), ("other-1", None), ("d-1", None)]
)
def test_an_ordinal_is_the_number_behind_the_sets_name(name: str, number: int | None) -> None:
    assert identity.ordinal(Pod(metadata=ObjectMeta(name=name)), "db") == number


def test_at_least_one_stateful_pod_may_be_unavailable() -> None:
    assert [sync.unavailable_max(value, 10) for value in (None, 0, 3, "25%")] == [1, 1, 3, 3]


@pytest.mark.parametrize(
    ("spec", "expected", "desired"),
    [
        (PodDisruptionBudgetSpec(min_available=2), 5, 2),
        (PodDisruptionBudgetSpec(min_available="50%"), 5, 3),
        (PodDisruptionBudgetSpec(max_unavailable=1), 5, 4),
        (PodDisruptionBudgetSpec(max_unavailable="30%"), 5, 3),
        (PodDisruptionBudgetSpec(max_unavailable=9), 5, 0),
    ],
)
def test_a_budget_rounds_up(spec: PodDisruptionBudgetSpec, expected: int, desired: int) -> None:
    assert disruption.desired_healthy(PodDisruptionBudget(spec=spec), expected) == desired


def container(cpu: str, restart_policy: str | None = None) -> Container:
    return Container(resources=ResourceRequirements(requests={"cpu": cpu}), restart_policy=restart_policy)


def test_a_pod_uses_its_containers_or_its_largest_init_container_and_overhead() -> None:
    pod = Pod(
        spec=PodSpec(
            containers=(container("100m"), container("200m")),
            init_containers=(container("250m"), container("50m", "Always")),
            overhead={"cpu": "10m"},
        )
    )
    assert quota.pod_amount(pod, "requests", "cpu") == Fraction(36, 100)
    assert quota.pod_amount(pod, "limits", "cpu") == Fraction(1, 100)


def test_the_largest_init_container_runs_beside_the_sidecars_before_it() -> None:
    first, later = (container("50m", "Always"), container("500m")), (container("500m"), container("50m", "Always"))
    found = [
        quota.pod_amount(Pod(spec=PodSpec(containers=(container("100m"),), init_containers=each)), "requests", "cpu")
        for each in (first, later)
    ]
    assert found == [Fraction(55, 100), Fraction(50, 100)]


def test_a_quota_counts_pods_that_look_into_other_namespaces() -> None:
    near = Affinity(pod_affinity=PodAffinity(required_during_scheduling_ignored_during_execution=(PodAffinityTerm(),)))
    weighted = WeightedPodAffinityTerm(pod_affinity_term=PodAffinityTerm(namespaces=("b",)))
    far = Affinity(pod_anti_affinity=PodAntiAffinity(preferred_during_scheduling_ignored_during_execution=(weighted,)))
    chosen = quota.scope_test("CrossNamespacePodAffinity")
    assert [chosen(Pod(spec=PodSpec(affinity=one))) for one in (None, near, far)] == [False, False, True]


def test_a_quota_with_an_empty_scope_selector_has_no_scope() -> None:
    cache = Cache([CONFIGMAP])
    cache.replace(CONFIGMAP, [b'{"metadata":{"name":"x","namespace":"a"}}'], Revision(1))
    for spec, used in (
        (ResourceQuotaSpec(), "1"),
        (ResourceQuotaSpec(scope_selector=ScopeSelector()), "1"),
        (ResourceQuotaSpec(scopes=("BestEffort",)), "0"),
    ):
        one = ResourceQuota(metadata=ObjectMeta(name="q", namespace="a"), spec=spec)
        assert quota.usage("configmaps", {"configmaps": CONFIGMAP}, one, cache) == used
