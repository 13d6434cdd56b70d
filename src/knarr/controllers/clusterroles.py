"""ClusterRole aggregation: the rules of a role with an aggregationRule are those of the roles that it selects.

RBAC itself decides by the selected roles (apiserver/rbac.py); what is written here is what readers see. A role's own
rules beside its aggregationRule are overwritten, as documented. Spec: "Using RBAC", aggregated ClusterRoles.
"""

from collections.abc import Sequence

import msgspec

from knarr.base.clock import Instant
from knarr.client.view import View
from knarr.controllers import selectors
from knarr.controllers.controller import Controller, Key, Patch, Plan
from knarr.kinds.lens.rbac import ClusterRole, PolicyRule
from knarr.kinds.rbac import CLUSTERROLE


def plan(role: ClusterRole, view: View, _now: Instant) -> Plan:
    """Rewrite the rules where they are not the selected roles'."""
    if role.aggregation_rule is None or role.metadata.deletion_timestamp is not None:
        return Plan()
    wanted = rules(role, view.list(ClusterRole))
    if wanted == role.rules:
        return Plan()
    body = {
        "metadata": {"resourceVersion": role.metadata.resource_version},
        "rules": [msgspec.to_builtins(rule) for rule in wanted],
    }
    return Plan([Patch(CLUSTERROLE, "", role.metadata.name, body, tolerate_absent=True)])


def rules(role: ClusterRole, roles: Sequence[ClusterRole]) -> tuple[PolicyRule, ...]:
    """Every rule of the selected roles once: roles by name for each selector, rules in their order."""
    assert role.aggregation_rule is not None
    found: dict[PolicyRule, None] = {}
    for raw in role.aggregation_rule.cluster_role_selectors:
        for other in sorted(roles, key=lambda each: each.metadata.name):
            if other.metadata.name != role.metadata.name and selectors.matches(raw, other.metadata.labels):
                found |= dict.fromkeys(other.rules)
    return tuple(found)


def aggregating(_role: ClusterRole, view: View) -> Sequence[Key]:
    """A change of any role may concern every role that aggregates."""
    return [("", each.metadata.name) for each in view.list(ClusterRole) if each.aggregation_rule is not None]


CONTROLLER = Controller(
    "clusterrole-aggregation-controller",
    kind=CLUSTERROLE,
    plan=plan,
    watches={CLUSTERROLE: aggregating},
    writes=(CLUSTERROLE,),
)
