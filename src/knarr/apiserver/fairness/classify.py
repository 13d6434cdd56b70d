"""Which flow schema a request belongs to: the one of lowest precedence (then name) that has a matching rule. Pure.

A *flow* is what a schema's distinguisher tells apart: its users, or its namespaces. Spec: FlowSchema v1.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from knarr.apiserver.context import User

Json = dict[str, Any]
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request a schema can look at; `path` is set for what is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    path: str = ""


class _Meta(msgspec.Struct):
    name: str = ""
    uid: str = ""


class _Named(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""


class _Subject(msgspec.Struct, rename="camel"):
    kind: str = ""
    user: _Named | None = None
    group: _Named | None = None
    service_account: _Named | None = None


class _ResourceRule(msgspec.Struct, rename="camel"):
    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    cluster_scope: bool = False


class _PathRule(msgspec.Struct):
    verbs: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")


class _Rules(msgspec.Struct, rename="camel"):
    subjects: tuple[_Subject, ...] = ()
    resource_rules: tuple[_ResourceRule, ...] = ()
    non_resource_rules: tuple[_PathRule, ...] = ()


class _Method(msgspec.Struct):
    type: str = ""


class _Spec(msgspec.Struct, rename="camel"):
    priority_level_configuration: _Named
    matching_precedence: int = 1000
    distinguisher_method: _Method | None = None
    rules: tuple[_Rules, ...] | None = None


class FlowSchema(msgspec.Struct):
    metadata: _Meta
    spec: _Spec

    @property
    def level(self) -> str:
        return self.spec.priority_level_configuration.name

    def flow(self, user: User, asked: Asked) -> str:
        """What tells this request's flow from the schema's others."""
        method = self.spec.distinguisher_method
        if method is None:
            return ""
        return user.name if method.type == "ByUser" else asked.namespace


decode = msgspec.json.Decoder(FlowSchema).decode


def ordered(schemas: list[FlowSchema]) -> list[FlowSchema]:
    return sorted(schemas, key=lambda schema: (schema.spec.matching_precedence, schema.metadata.name))


def schema_of(schemas: list[FlowSchema], user: User, asked: Asked) -> FlowSchema | None:
    """The first of the ordered schemas that matches."""
    for schema in schemas:
        for rules in schema.spec.rules or ():
            if any(_is_subject(subject, user) for subject in rules.subjects) and _matches(rules, asked):
                return schema
    return None


def _matches(rules: _Rules, asked: Asked) -> bool:
    if asked.path:
        return any(_has(rule.verbs, asked.verb) and _has_path(rule, asked.path) for rule in rules.non_resource_rules)
    return any(_matches_resource(rule, asked) for rule in rules.resource_rules)


def _matches_resource(rule: _ResourceRule, asked: Asked) -> bool:
    in_scope = _has(rule.namespaces, asked.namespace) if asked.namespace else rule.cluster_scope
    return (
        in_scope
        and _has(rule.verbs, asked.verb)
        and _has(rule.api_groups, asked.group)
        and _has(rule.resources, asked.resource)
    )


def _has(values: tuple[str, ...], value: str) -> bool:
    return "*" in values or value in values


def _has_path(rule: _PathRule, path: str) -> bool:
    return any(
        pattern in ("*", path) or (pattern.endswith("/*") and path.startswith(pattern[:-1]))
        for pattern in rule.non_resource_urls
    )


def _is_subject(subject: _Subject, user: User) -> bool:
    match subject:
        case _Subject(kind="User", user=_Named(name=name)):
            return name in ("*", user.name)
        case _Subject(kind="Group", group=_Named(name=name)):
            return name == "*" or name in user.groups
        case _Subject(kind="ServiceAccount", service_account=_Named(name=name, namespace=namespace)):
            given = user.name.removeprefix(_ACCOUNT).split(":") if user.name.startswith(_ACCOUNT) else []
            return len(given) == 2 and given[0] == namespace and name in ("*", given[1])
    return False
