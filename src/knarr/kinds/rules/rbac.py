"""Cross-field checks of roles and bindings. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import numbers
from knarr.objects import faults, names

Json = dict[str, Any]
GROUP: Final = "rbac.authorization.k8s.io"


def role(found: Json) -> Iterator[Cause]:
    for index, rule in enumerate(found.get("rules") or ()):
        yield from _rule(rule, f"rules[{index}]", is_namespaced=True)


def cluster_role(found: Json) -> Iterator[Cause]:
    for index, rule in enumerate(found.get("rules") or ()):
        yield from _rule(rule, f"rules[{index}]", is_namespaced=False)
    aggregation = found.get("aggregationRule")
    if aggregation is None:
        return
    field, selectors = "aggregationRule.clusterRoleSelectors", aggregation.get("clusterRoleSelectors")
    if not selectors:
        yield faults.required(field, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for index, selector in enumerate(selectors or ()):
        yield from numbers.label_selector(selector, f"{field}[{index}]")


def _rule(rule: Json, field: str, *, is_namespaced: bool) -> Iterator[Cause]:
    if not rule.get("verbs"):
        yield faults.required(f"{field}.verbs", "verbs must contain at least one value")
    if rule.get("nonResourceURLs"):
        if is_namespaced:
            detail = "namespaced rules cannot apply to non-resource URLs"
            yield faults.invalid(f"{field}.nonResourceURLs", rule["nonResourceURLs"], detail)
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            yield faults.invalid(f"{field}.nonResourceURLs", rule["nonResourceURLs"], detail)
        return
    if "apiGroups" not in rule:
        yield faults.required(f"{field}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield faults.required(f"{field}.resources", "resource rules must supply at least one resource")


def binding(found: Json) -> Iterator[Cause]:
    yield from _binding(found, ("Role", "ClusterRole"), is_namespaced=True)


def cluster_binding(found: Json) -> Iterator[Cause]:
    yield from _binding(found, ("ClusterRole",), is_namespaced=False)


def _binding(found: Json, kinds: tuple[str, ...], *, is_namespaced: bool) -> Iterator[Cause]:
    reference = found.get("roleRef") or {}
    if reference.get("apiGroup") != GROUP:
        yield faults.unsupported("roleRef.apiGroup", reference.get("apiGroup", ""), [GROUP])
    if reference.get("kind") not in kinds:
        yield faults.unsupported("roleRef.kind", reference.get("kind", ""), kinds)
    if reference.get("name"):
        yield from faults.each("roleRef.name", reference["name"], names.path_segment(reference["name"]))
    for index, subject in enumerate(found.get("subjects") or ()):
        yield from _subject(subject, f"subjects[{index}]", is_namespaced)


def _subject(subject: Json, field: str, is_namespaced: bool) -> Iterator[Cause]:
    kind, group = subject.get("kind"), subject.get("apiGroup", "")
    if kind == "ServiceAccount":
        if subject.get("name"):
            yield from faults.each(f"{field}.name", subject["name"], names.dns_subdomain(subject["name"]))
        if group:
            yield faults.unsupported(f"{field}.apiGroup", group, [""])
        if not is_namespaced and not subject.get("namespace"):
            yield faults.required(f"{field}.namespace")
    elif kind in ("User", "Group"):
        if group != GROUP:
            yield faults.unsupported(f"{field}.apiGroup", group, [GROUP])
    else:
        yield faults.unsupported(f"{field}.kind", kind or "", ["ServiceAccount", "User", "Group"])
