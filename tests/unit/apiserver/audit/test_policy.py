"""The audit policy: which rule counts, and what is refused."""

import pytest

from knarr.apiserver.audit import policy
from knarr.apiserver.audit.policy import Asked, Level
from knarr.apiserver.context import User
from knarr.base.errors import Invalid

JANE = User("jane", ("dev", "system:authenticated"))
POLICY = policy.parsed(
    b"""
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [system:kube-proxy], verbs: [watch]}
- {level: None, nonResourceURLs: ["/healthz*", /version]}
- level: Metadata
  resources: [{group: "", resources: [secrets]}]
- level: Request
  resources: [{group: "", resources: [pods/*], resourceNames: [web]}]
  namespaces: [prod]
- level: RequestResponse
  userGroups: [dev]
  omitStages: [ResponseStarted]
  omitManagedFields: true
  resources: [{group: apps}]
"""
)


@pytest.mark.parametrize(
    ("user", "asked", "level"),
    [
        (User("system:kube-proxy"), Asked("watch", "", "services"), Level.NONE),
        (JANE, Asked("get", path="/healthz/etcd"), Level.NONE),
        (JANE, Asked("get", "", "secrets", namespace="prod"), Level.METADATA),
        (JANE, Asked("create", "", "pods", "exec", "prod", "web"), Level.REQUEST),
        (JANE, Asked("create", "", "pods", "exec", "test", "web"), Level.NONE),
        (JANE, Asked("get", "", "pods", "", "prod", "web"), Level.NONE),
        (JANE, Asked("update", "apps", "deployments", "scale", "test", "web"), Level.REQUEST_RESPONSE),
        (User("x"), Asked("update", "apps", "deployments", "scale", "test", "web"), Level.NONE),
    ],
)
def test_the_first_rule_that_matches_counts(user: User, asked: Asked, level: Level) -> None:
    assert policy.decision(POLICY, user, asked).level is level


def test_stages_are_omitted_by_policy_and_rule() -> None:
    found = policy.decision(POLICY, JANE, Asked("get", "apps", "deployments"))

    assert found == policy.Decision(Level.REQUEST_RESPONSE, frozenset({"RequestReceived", "ResponseStarted"}), True)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"kind: Pod\napiVersion: v1\nrules: [{level: None}]", "not a Policy"),
        (b"rules: []", "no rules"),
        (b"rules: [{level: Everything}]", "supported values: None, Metadata"),
        (b"rules: [{level: None, omitStages: [Later]}]", "omitStages"),
        (b"rules: [{level: None, resorces: []}]", "resorces"),
        (b"rules: [{level: None, nonResourceURLs: [/x], namespaces: [z]}]", "both"),
        (b"rules: [{level: None, nonResourceURLs: ['/a*b']}]", "only at its end"),
        (b"rules: [{level: None, resources: [{resourceNames: [a]}]}]", "at least one resource"),
    ],
)
def test_a_policy_that_says_nonsense_is_refused(text: bytes, fault: str) -> None:
    with pytest.raises(Invalid, match=fault):
        policy.parsed(text)
