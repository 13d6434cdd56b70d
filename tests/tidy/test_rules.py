"""Every kind that is served has rules for its objects and for its status, or says here why it has none."""

from knarr.apiserver.server import served_kinds
from knarr.kinds import registry
from knarr.kinds.rules import table

NEVER_STORED = "is asked and answered; what it must be its handler says"
ONLY_METADATA = "upstream judges its metadata and nothing else"
# (group, kind) → why no rule judges its objects beside the schema.
NO_RULES = {
    ("", "Binding"): NEVER_STORED,
    ("", "ComponentStatus"): NEVER_STORED,
    ("", "ServiceAccount"): ONLY_METADATA,
    ("authentication.k8s.io", "SelfSubjectReview"): NEVER_STORED,
    ("authentication.k8s.io", "TokenReview"): NEVER_STORED,
    ("authorization.k8s.io", "LocalSubjectAccessReview"): NEVER_STORED,
    ("authorization.k8s.io", "SelfSubjectAccessReview"): NEVER_STORED,
    ("authorization.k8s.io", "SelfSubjectRulesReview"): NEVER_STORED,
    ("authorization.k8s.io", "SubjectAccessReview"): NEVER_STORED,
}
# (group, kind) → why no rule judges a write of its status.
NO_STATUS_RULES = {
    ("", "PersistentVolume"): ONLY_METADATA,
    ("batch", "CronJob"): ONLY_METADATA,
    ("certificates.k8s.io", "CertificateSigningRequest"): "apiserver/admission/certificates.py asks the rules, for it "
    "knows which conditions a status may not touch",
    ("networking.k8s.io", "ServiceCIDR"): ONLY_METADATA,
    ("resource.k8s.io", "DeviceTaintRule"): ONLY_METADATA,
    ("storage.k8s.io", "CSINode"): ONLY_METADATA,
}


def test_every_kind_has_rules_or_says_why_not() -> None:
    without = {
        (kind.group, kind.kind)
        for kind in served_kinds()
        if not table.checks(kind.group, kind.kind) and not table.creates(kind.group, kind.kind)
    }
    assert without == NO_RULES.keys()


def test_every_status_has_rules_or_says_why_not() -> None:
    kinds = {(kind.group, kind.kind) for kind in served_kinds() if "status" in kind.subresources}
    assert {kind for kind in kinds if not table.of_subresource("status", *kind)} == NO_STATUS_RULES.keys()


def test_no_rule_is_of_a_kind_that_is_not_served() -> None:
    served = {(kind.group, kind.kind) for kind in served_kinds()}
    tables = (table.CHECKS, table.CREATES, table.CHANGES, table.ANNOTATIONS, *table.SUBRESOURCES.values())
    found = {kind for each in tables for kind in each}
    assert {kind for kind in found if kind[0] not in registry.LATER_GROUPS} <= served
