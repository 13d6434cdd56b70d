"""Which flow schema and level a request gets by the built-in configuration."""

import msgspec
import pytest

from knarr.apiserver.context import User
from knarr.apiserver.fairness import classify, configuration
from knarr.apiserver.fairness.classify import Asked

SCHEMAS = classify.ordered([classify.decode(msgspec.json.encode(each)) for each in configuration.objects()
                            if each["kind"] == "FlowSchema"])  # fmt: skip
AUTHENTICATED = "system:authenticated"


def account(namespace: str, name: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups)


NODE = User("system:node:n", ("system:nodes", AUTHENTICATED))
SCHEDULER = User("system:kube-scheduler", (AUTHENTICATED,))
LEASE = Asked("update", "coordination.k8s.io", "leases", "kube-system")
PODS = Asked("list", "", "pods", "default")


@pytest.mark.parametrize(
    ("user", "asked", "name"),
    [
        (User("root", ("system:masters", AUTHENTICATED)), PODS, "exempt"),
        (User("jane", (AUTHENTICATED,)), Asked("get", path="/readyz"), "probes"),
        (User("jane", (AUTHENTICATED,)), Asked("get", path="/readyz/store"), "global-default"),
        (SCHEDULER, LEASE, "system-leader-election"),
        (account("kube-system", "operator"), LEASE, "system-leader-election"),
        (account("kube-system", "operator"), PODS, "kube-system-service-accounts"),
        (NODE, Asked("patch", "", "nodes/status"), "system-node-high"),
        (NODE, PODS, "system-nodes"),
        (SCHEDULER, PODS, "kube-scheduler"),
        (account("default", "app"), PODS, "service-accounts"),
        (User("jane", (AUTHENTICATED,)), PODS, "global-default"),
    ],
)
def test_a_request_belongs_to_the_first_schema_that_matches(user: User, asked: Asked, name: str) -> None:
    found = classify.schema_of(SCHEMAS, user, asked)

    assert found is not None
    assert found.metadata.name == name


def test_a_user_of_no_group_belongs_to_no_schema() -> None:
    assert classify.schema_of(SCHEMAS, User("nobody"), PODS) is None


def test_a_rule_without_cluster_scope_is_for_namespaces_only() -> None:
    rule = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["default"]}
    subject = {"kind": "User", "user": {"name": "*"}}
    spec = {
        "priorityLevelConfiguration": {"name": "system"},
        "distinguisherMethod": {"type": "ByNamespace"},
        "rules": [{"subjects": [subject], "resourceRules": [rule]}],
    }
    schema = classify.decode(msgspec.json.encode({"metadata": {"name": "x"}, "spec": spec}))
    jane = User("jane")

    assert classify.schema_of([schema], jane, PODS) is schema
    assert classify.schema_of([schema], jane, Asked("list", "", "pods")) is None
    assert classify.schema_of([schema], jane, Asked("list", "", "pods", "other")) is None
    assert schema.flow(jane, PODS) == "default"
