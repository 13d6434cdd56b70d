"""The default roles: who may do what in a new cluster, and what a start gives back."""

import msgspec

from knarr.apiserver.bootstrap import objects, roles
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.rbac import Rule
from knarr.apiserver.server import ApiServer
from knarr.controllers import clusterroles
from knarr.kinds.lens.rbac import ClusterRole
from knarr.store.memory import MemoryStore
from tests.unit.apiserver.conftest import ADMIN, Asker, Json

RBAC = "/apis/rbac.authorization.k8s.io/v1"
SUBJECTS = {
    "cluster-admin": ["Group system:masters"],
    "system:node-proxier": ["User system:kube-proxy"],
    "system:node": [],
    "system:volume-scheduler": ["User system:kube-scheduler"],
    "system:kube-dns": ["ServiceAccount kube-dns"],
    "system:monitoring": ["Group system:monitoring"],
    "system:controller:job-controller": ["ServiceAccount job-controller"],
    "system:public-info-viewer": ["Group system:authenticated", "Group system:unauthenticated"],
}


def named(kind: str, name: str, namespace: str | None = None) -> Json:
    (found,) = (
        each
        for each in roles.objects()
        if each["kind"] == kind and each["metadata"]["name"] == name and each["metadata"].get("namespace") == namespace
    )
    return found


def allows(role: str, verb: str, group: str, resource: str, name: str = "") -> bool:
    from knarr.apiserver.access import Attributes

    plural, _, subresource = resource.partition("/")
    wanted = Attributes(verb, group, "v1", plural, subresource, "default", name)
    rules = msgspec.convert(named("ClusterRole", role)["rules"], tuple[Rule, ...])
    return any(rule.allows(wanted) for rule in rules)


def test_bindings_name_the_subjects_that_upstream_binds() -> None:
    found = {
        name: [f"{each['kind']} {each['name']}" for each in named("ClusterRoleBinding", name)["subjects"]]
        for name in SUBJECTS
    }
    assert found == SUBJECTS


def test_every_binding_names_a_role_that_exists() -> None:
    made = roles.objects()
    there = {
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in made
        if each["kind"].endswith("Role")
    }
    bindings = [each for each in made if each["kind"].endswith("Binding")]
    dangling = [
        each["metadata"]["name"]
        for each in bindings
        if (each["roleRef"]["kind"], each["metadata"].get("namespace"), each["roleRef"]["name"]) not in there
    ]
    assert (len(bindings) > 60, dangling) == (True, [])


def test_a_viewer_reads_no_secrets_and_an_editor_writes_no_endpoints() -> None:
    assert [
        allows("view", "get", "", "secrets"),
        allows("view", "get", "", "pods/log"),
        allows("edit", "create", "", "endpoints"),
        allows("edit", "get", "", "secrets"),
        allows("edit", "create", "", "pods/exec"),
        allows("edit", "create", "rbac.authorization.k8s.io", "roles"),
        allows("admin", "create", "rbac.authorization.k8s.io", "roles"),
        allows("admin", "update", "", "resourcequotas"),
    ] == [False, True, False, True, True, False, True, False]


def test_controllers_have_their_own_roles_and_the_manager_no_more_than_it_needs() -> None:
    assert [
        allows("system:kube-controller-manager", "delete", "", "pods"),
        allows("system:kube-controller-manager", "list", "", "pods"),
        allows("system:controller:job-controller", "create", "", "pods"),
        allows("system:controller:job-controller", "create", "apps", "deployments"),
        allows("system:controller:certificate-controller", "sign", "certificates.k8s.io", "signers", "example.com/x"),
        allows("system:kube-scheduler", "update", "coordination.k8s.io", "leases", "kube-scheduler"),
        allows("system:kube-scheduler", "update", "coordination.k8s.io", "leases", "other"),
    ] == [False, True, True, False, False, True, False]


def test_claims_of_devices_are_users_own_and_trust_bundles_are_every_service_accounts_to_read() -> None:
    resource, certificates = "resource.k8s.io", "certificates.k8s.io"
    assert [
        allows("edit", "create", resource, "resourceclaimtemplates"),
        allows("edit", "update", resource, "resourceclaims/status"),
        allows("view", "get", resource, "resourceclaims/status"),
        allows("system:kube-scheduler", "create", resource, "resourceclaims"),
        allows("system:controller:device-taint-eviction-controller", "patch", resource, "devicetaintrules/status"),
        allows("system:cluster-trust-bundle-discovery", "list", certificates, "clustertrustbundles"),
        allows("system:node", "get", "", "serviceaccounts"),
    ] == [True, False, True, True, True, True, True]
    binding = named("ClusterRoleBinding", "system:cluster-trust-bundle-discovery")
    assert [each["name"] for each in binding["subjects"]] == ["system:serviceaccounts"]


def test_storage_controllers_read_no_services_and_a_migrator_makes_nothing() -> None:
    assert [
        allows("system:controller:expand-controller", "get", "", "services"),
        allows("system:controller:persistent-volume-binder", "get", "", "services"),
        allows("system:controller:storage-version-migrator-controller", "create", "", "pods"),
        allows("system:controller:storage-version-migrator-controller", "patch", "", "pods"),
        allows("system:controller:pvc-protection-controller", "update", "", "persistentvolumeclaims/status"),
        allows("system:controller:node-controller", "list", "coordination.k8s.io", "leases"),
    ] == [False, False, False, True, True, True]


def test_metrics_are_read_through_a_role_that_aggregates() -> None:
    assert [allows(role, "list", "metrics.k8s.io", "pods") for role in ("view", "edit", "admin")] == [True] * 3


def test_aggregated_rules_are_those_that_the_controller_would_write() -> None:
    made = [msgspec.convert(each, ClusterRole) for each in roles.objects() if each["kind"] == "ClusterRole"]
    aggregated = [each for each in made if each.aggregation_rule is not None]
    assert len(aggregated) == 3
    for role in aggregated:
        assert clusterroles.rules(role, made) == role.rules


async def _started(pipeline: Pipeline) -> Asker:
    await objects.run(pipeline, service_address="10.96.0.1", port=6443)
    return Asker(pipeline, ADMIN)


async def test_a_start_gives_back_rules_and_subjects_that_were_removed_and_keeps_what_was_added() -> None:
    pipeline = Pipeline(ApiServer(MemoryStore()))
    ask = await _started(pipeline)
    extra = {"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}
    for path, patch in (
        ("clusterroles/system:basic-user", {"rules": [extra]}),
        ("clusterrolebindings/system:basic-user", {"subjects": []}),
    ):
        await ask("PATCH", f"{RBAC}/{path}", patch, media="application/merge-patch+json")
    await ask("DELETE", f"{RBAC}/clusterroles/view")
    await _started(pipeline)
    role = await ask("GET", f"{RBAC}/clusterroles/system:basic-user")
    binding = await ask("GET", f"{RBAC}/clusterrolebindings/system:basic-user")
    assert role["rules"] == [extra, *roles.rules("system:basic-user")]
    assert [each["name"] for each in binding["subjects"]] == ["system:authenticated"]
    assert (await ask("GET", f"{RBAC}/clusterroles/view"))["kind"] == "ClusterRole"


async def test_a_start_leaves_alone_what_says_so() -> None:
    pipeline = Pipeline(ApiServer(MemoryStore()))
    ask = await _started(pipeline)
    patch = {"metadata": {"annotations": {roles.AUTOUPDATE: "false"}}, "rules": []}
    await ask("PATCH", f"{RBAC}/clusterroles/system:basic-user", patch, media="application/merge-patch+json")
    await _started(pipeline)
    role = await ask("GET", f"{RBAC}/clusterroles/system:basic-user")
    assert role.get("rules") in (None, [])


async def test_a_start_makes_a_default_binding_anew_that_leads_to_another_role() -> None:
    pipeline = Pipeline(ApiServer(MemoryStore()))
    ask = await _started(pipeline)
    path = f"{RBAC}/clusterrolebindings/system:basic-user"
    other = await ask("GET", path)
    await ask("DELETE", path)
    other["metadata"] = {"name": "system:basic-user"}
    other["roleRef"]["name"] = "view"
    await ask("POST", f"{RBAC}/clusterrolebindings", other)
    await _started(pipeline)
    assert (await ask("GET", path))["roleRef"]["name"] == "system:basic-user"


async def test_a_second_start_writes_nothing() -> None:
    pipeline = Pipeline(ApiServer(MemoryStore()))
    await _started(pipeline)
    revision = pipeline.server.store.revision
    await _started(pipeline)
    assert pipeline.server.store.revision == revision
