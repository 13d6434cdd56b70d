"""The audit policy: which requests are written down, and how much of them. Pure; `parsed` reads the file's text.

The first rule that matches counts; what no rule matches is not written. Spec: audit.k8s.io/v1 Policy.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import msgspec

from knarr.apiserver.context import User
from knarr.base.errors import Invalid
from knarr.wire import strict_yaml

RECEIVED, STARTED, COMPLETE, PANIC = "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"
STAGES: Final = (RECEIVED, STARTED, COMPLETE, PANIC)


class Level(IntEnum):
    """How much is written, in order: nothing, who and what, also the request's body, also the answer's."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    @property
    def text(self) -> str:
        return _TEXTS[self]


_TEXTS: Final = {
    Level.NONE: "None", Level.METADATA: "Metadata", Level.REQUEST: "Request",
    Level.REQUEST_RESPONSE: "RequestResponse",
}  # fmt: skip
_LEVELS: Final = {text: level for level, text in _TEXTS.items()}


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request a rule can look at; `path` is set, and `resource` empty, for what is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class _Resources(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    group: str = ""
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()


class Rule(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    level: str
    users: tuple[str, ...] = ()
    user_groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[_Resources, ...] = ()
    namespaces: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")
    omit_stages: tuple[str, ...] = ()
    omit_managed_fields: bool | None = None


class Policy(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A whole policy. `levels` are as written; ask `decision`."""

    rules: tuple[Rule, ...]
    kind: str = "Policy"
    api_version: str = "audit.k8s.io/v1"
    metadata: dict[str, Any] = {}
    omit_stages: tuple[str, ...] = ()
    omit_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    level: Level
    omitted_stages: frozenset[str] = frozenset()
    omits_managed_fields: bool = False


NOTHING: Final = Decision(Level.NONE)
DEFAULT: Final = Policy((Rule("Metadata", omit_stages=(RECEIVED,)),))
"""Without a policy file: who did what, once per request."""


def parsed(text: bytes) -> Policy:
    """The policy of a YAML or JSON text. Raises Invalid naming what is wrong."""
    try:
        policy = msgspec.convert(strict_yaml.decode(text), Policy)
    except msgspec.ValidationError as error:
        raise Invalid(f"the audit policy cannot be read: {error}") from error
    if (policy.kind, policy.api_version) != ("Policy", "audit.k8s.io/v1"):
        raise Invalid(f"the audit policy is a {policy.kind} of {policy.api_version}, not a Policy of audit.k8s.io/v1")
    if not policy.rules:
        raise Invalid("the audit policy has no rules")
    for number, rule in enumerate(policy.rules):
        _check(rule, f"rules[{number}]")
    _check_stages(policy.omit_stages, "omitStages")
    return policy


def _check(rule: Rule, where: str) -> None:
    if rule.level not in _LEVELS:
        raise Invalid(f"{where}.level: Unsupported value: {rule.level!r}: supported values: {', '.join(_LEVELS)}")
    _check_stages(rule.omit_stages, f"{where}.omitStages")
    if rule.non_resource_urls and (rule.resources or rule.namespaces):
        raise Invalid(f"{where}: rules cannot apply to both regular resources and non-resource URLs")
    for url in rule.non_resource_urls:
        if url != "*" and (not url.startswith("/") or "*" in url[:-1]):
            raise Invalid(f"{where}.nonResourceURLs: {url!r} must begin with '/' and have '*' only at its end")
    for resources in rule.resources:
        if resources.resource_names and not resources.resources:
            raise Invalid(f"{where}.resources: using resourceNames requires at least one resource")


def _check_stages(stages: tuple[str, ...], where: str) -> None:
    for stage in stages:
        if stage not in STAGES:
            raise Invalid(f"{where}: Unsupported value: {stage!r}: supported values: {', '.join(STAGES)}")


def decision(policy: Policy, user: User, asked: Asked) -> Decision:
    """How much of a request is written."""
    for rule in policy.rules:
        if _matches(rule, user, asked):
            omits = policy.omit_managed_fields if rule.omit_managed_fields is None else rule.omit_managed_fields
            return Decision(_LEVELS[rule.level], frozenset((*policy.omit_stages, *rule.omit_stages)), omits)
    return NOTHING


def _matches(rule: Rule, user: User, asked: Asked) -> bool:
    if rule.users and user.name not in rule.users:
        return False
    if rule.user_groups and not any(group in rule.user_groups for group in user.groups):
        return False
    if rule.verbs and asked.verb not in rule.verbs:
        return False
    if rule.namespaces or rule.resources:
        return _matches_resource(rule, asked)
    if rule.non_resource_urls:
        return bool(asked.path) and any(_is_path(pattern, asked.path) for pattern in rule.non_resource_urls)
    return True


def _matches_resource(rule: Rule, asked: Asked) -> bool:
    if asked.path or (rule.namespaces and asked.namespace not in rule.namespaces):
        return False
    return not rule.resources or any(_is_resource(each, asked) for each in rule.resources)


def _is_resource(row: _Resources, asked: Asked) -> bool:
    if row.group != asked.group:
        return False
    if row.resource_names and asked.name not in row.resource_names:
        return False
    if not row.resources:
        return True
    whole = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    patterns = {"*", whole}
    if asked.subresource:
        patterns |= {f"*/{asked.subresource}", f"{asked.resource}/*"}
    return any(pattern in patterns for pattern in row.resources)


def _is_path(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))
