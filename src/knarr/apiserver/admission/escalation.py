"""RBAC escalation: nobody grants what they do not hold.

Writing a role needs its rules (or the verb `escalate`); writing a binding needs the bound role's rules (or `bind`).
Rules are compared unit by unit: one verb on one resource (or path). Spec: "Using RBAC", privilege escalation.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from knarr.apiserver import status
from knarr.apiserver.access import MASTERS, Attributes
from knarr.apiserver.context import RequestContext
from knarr.apiserver.rbac import Rbac, Rule
from knarr.apiserver.resources import Json
from knarr.base.errors import Forbidden

_ROLES: Final = ("Role", "ClusterRole")
_BINDINGS: Final = ("RoleBinding", "ClusterRoleBinding")
GROUP: Final = "rbac.authorization.k8s.io"
# A role that gathers others may gather any, so its writer must hold all there is, as upstream.
EVERYTHING: Final = (Rule(("*",), ("*",), ("*",)), Rule(("*",), non_resource_urls=("*",)))
UNITS_MAX: Final = 20_000
"""Past so many units a role is refused unless its writer may escalate: comparing them would take too long."""


def check(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """Refuse a role or binding that would give more than its writer has."""
    kind = context.resource.stored.kind
    access = context.server.access
    if context.resource.stored.group != GROUP or not isinstance(access, Rbac) or MASTERS in context.user.groups:
        return obj
    if kind in _ROLES:
        granted, verb, namespace = _rules(obj), "escalate", context.route.namespace
        if old is not None and all(_grants(old)[key] == part for key, part in _grants(obj).items()):
            return obj
        if obj.get("aggregationRule"):
            granted = (*granted, *EVERYTHING)
        wanted = Attributes(verb, GROUP, "v1", context.resource.plural, "", namespace, obj["metadata"].get("name", ""))
    elif kind in _BINDINGS:
        ref, namespace = obj.get("roleRef") or {}, context.route.namespace
        if old is not None and old.get("subjects") == obj.get("subjects"):
            return obj
        plural = "clusterroles" if ref.get("kind") == "ClusterRole" else "roles"
        granted = access.rules_named(ref.get("kind", ""), namespace, ref.get("name", ""))
        wanted = Attributes("bind", GROUP, "v1", plural, "", namespace, ref.get("name", ""))
    else:
        return obj
    if context.server.decide(context.user, wanted).is_allowed:
        return obj
    missing = not_covered(granted, context.server.rules(context.user, namespace))
    if missing:
        raise _refused(context, obj, missing)
    return obj


def _grants(obj: Json) -> Json:
    """What makes a role give rights: here, or by its labels in the roles that gather it."""
    return {
        "rules": _rules(obj),
        "aggregationRule": obj.get("aggregationRule"),
        "labels": obj["metadata"].get("labels"),
    }


def _rules(obj: Json) -> Sequence[Rule]:
    found: tuple[Rule, ...] = msgspec.convert(obj.get("rules") or [], tuple[Rule, ...])
    return found


def not_covered(granted: Iterable[Rule], held: Sequence[Rule]) -> list[Rule]:
    """The units of the granted rules that no held rule covers."""
    missing = []
    for count, unit in enumerate(itertools.chain.from_iterable(map(_units, granted))):
        if count > UNITS_MAX or not any(_covers(rule, unit) for rule in held):
            missing.append(unit)
            if count > UNITS_MAX or len(missing) > 100:
                break
    return missing


def _units(rule: Rule) -> Iterator[Rule]:
    for verb in rule.verbs:
        for url in rule.non_resource_urls:
            yield Rule((verb,), non_resource_urls=(url,))
        for group in rule.api_groups:
            for resource in rule.resources:
                for name in rule.resource_names or ("",):
                    yield Rule((verb,), (group,), (resource,), (name,) if name else ())


def _covers(rule: Rule, unit: Rule) -> bool:
    if "*" not in rule.verbs and unit.verbs[0] not in rule.verbs:
        return False
    if unit.non_resource_urls:
        wanted = unit.non_resource_urls[0]
        return any(
            url in ("*", wanted) or (url.endswith("*") and wanted.startswith(url[:-1]))
            for url in rule.non_resource_urls
        )
    resource = unit.resources[0]
    plain, _, sub = resource.partition("/")
    has_group = "*" in rule.api_groups or unit.api_groups[0] in rule.api_groups
    has_resource = "*" in rule.resources or resource in rule.resources or (bool(sub) and f"*/{sub}" in rule.resources)
    has_name = not rule.resource_names or (bool(unit.resource_names) and unit.resource_names[0] in rule.resource_names)
    return has_group and has_resource and has_name and bool(plain)


def _refused(context: RequestContext, obj: Json, missing: Sequence[Rule]) -> Forbidden:
    groups = " ".join(f'"{group}"' for group in context.user.groups)
    texts = "\n".join(_text(rule) for rule in missing)
    return status.forbidden(
        context.resource.qualified,
        obj["metadata"].get("name", ""),
        f'user "{context.user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
        f"{texts}",
    )


def _text(rule: Rule) -> str:
    if rule.non_resource_urls:
        return f"{{NonResourceURLs:{_list(rule.non_resource_urls)}, Verbs:{_list(rule.verbs)}}}"
    names = f", ResourceNames:{_list(rule.resource_names)}" if rule.resource_names else ""
    return (
        f"{{APIGroups:{_list(rule.api_groups)}, Resources:{_list(rule.resources)}{names}, Verbs:{_list(rule.verbs)}}}"
    )


def _list(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
