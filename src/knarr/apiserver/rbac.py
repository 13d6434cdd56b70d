"""RBAC: who may do what, by the roles and bindings in the store. Allows only; what no rule allows is refused.

The index follows the store by its watchers, read when a decision is asked for: a binding holds as soon as its write
is answered. Aggregated ClusterRoles are united here. `system:masters` may do everything. Spec: "Using RBAC".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from knarr.apiserver.access import ALLOWED, MASTERS, Attributes, Decision
from knarr.apiserver.context import User
from knarr.base.errors import Expired
from knarr.objects import labels
from knarr.store.store import Store, Watcher

PREFIXES = ("/registry/clusterroles/", "/registry/clusterrolebindings/", "/registry/roles/", "/registry/rolebindings/")
CLUSTER_ROLES, CLUSTER_BINDINGS, ROLES, BINDINGS = PREFIXES
DECISIONS_MAX = 8192


class Rule(msgspec.Struct, frozen=True, rename="camel"):
    """One PolicyRule."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")

    def allows(self, wanted: Attributes) -> bool:
        if "*" not in self.verbs and wanted.verb not in self.verbs:
            return False
        if wanted.path:
            return any(_url_matches(pattern, wanted.path) for pattern in self.non_resource_urls)
        if "*" not in self.api_groups and wanted.group not in self.api_groups:
            return False
        if not self._names_resource(wanted):
            return False
        return not self.resource_names or wanted.name in self.resource_names

    def _names_resource(self, wanted: Attributes) -> bool:
        if "*" in self.resources:
            return True
        if not wanted.subresource:
            return wanted.resource in self.resources
        return (
            f"{wanted.resource}/{wanted.subresource}" in self.resources or f"*/{wanted.subresource}" in self.resources
        )


def _url_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


class _Meta(msgspec.Struct):
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None


class _Aggregation(msgspec.Struct, rename="camel"):
    cluster_role_selectors: list[dict[str, object]] | None = None


class _Role(msgspec.Struct, rename="camel"):
    metadata: _Meta
    rules: tuple[Rule, ...] | None = None
    aggregation_rule: _Aggregation | None = None


class _RoleRef(msgspec.Struct):
    kind: str = ""
    name: str = ""


class Subject(msgspec.Struct, frozen=True):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class Binding(msgspec.Struct, rename="camel"):
    """A RoleBinding or ClusterRoleBinding."""

    metadata: _Meta
    role_ref: _RoleRef
    subjects: tuple[Subject, ...] | None = None


_role = msgspec.json.Decoder(_Role)
_binding = msgspec.json.Decoder(Binding)


@dataclass(frozen=True, slots=True)
class Grant:
    """The rules that one binding gives a user."""

    binding: Binding
    subject: Subject
    rules: Sequence[Rule]

    @property
    def reason(self) -> str:
        binding, ref = self.binding, self.binding.role_ref
        meta = binding.metadata
        if meta.namespace:
            named = f'RoleBinding "{meta.name}/{meta.namespace}"'
        else:
            named = f'ClusterRoleBinding "{meta.name}"'
        name = f"{self.subject.name}/{self.subject.namespace}" if self.subject.namespace else self.subject.name
        return f'RBAC: allowed by {named} of {ref.kind} "{ref.name}" to {self.subject.kind} "{name}"'


class Rbac:
    """access.Access by the roles and bindings of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watchers: list[Watcher] = []
        self._roles: dict[str, _Role] = {}
        self._bindings: dict[str, Binding] = {}
        self._by_subject: dict[tuple[str, str, str], list[Binding]] = {}
        self._decisions: dict[tuple[User, Attributes], Decision] = {}

    def trusts(self, user: User) -> bool:
        return MASTERS in user.groups

    def decide(self, user: User, wanted: Attributes) -> Decision:
        if self.trusts(user):
            return ALLOWED
        self._refresh()
        known = self._decisions.get((user, wanted))
        if known is None:
            known = self._decided(user, wanted)
            if len(self._decisions) >= DECISIONS_MAX:
                self._decisions.clear()
            self._decisions[user, wanted] = known
        return known

    def _decided(self, user: User, wanted: Attributes) -> Decision:
        for grant in self.grants(user, wanted.namespace):
            if any(rule.allows(wanted) for rule in grant.rules):
                return Decision(True, grant.reason)
        return Decision(False)

    def grants(self, user: User, namespace: str) -> Iterator[Grant]:
        """What every binding that names the user gives in the namespace (cluster-wide bindings first)."""
        self._refresh()
        for is_cluster_wide in (True, False) if namespace else (True,):
            for subject in _subjects(user):
                for binding in self._by_subject.get((subject.kind, subject.namespace, subject.name), ()):
                    scope = binding.metadata.namespace
                    if (scope == "") is is_cluster_wide and scope in ("", namespace):
                        yield Grant(binding, subject, self.rules_of(binding.role_ref, scope))

    def rules_of(self, ref: "_RoleRef", namespace: str) -> Sequence[Rule]:
        """The rules of the role that a binding names; none when the role is absent."""
        key = CLUSTER_ROLES + ref.name if ref.kind == "ClusterRole" else f"{ROLES}{namespace}/{ref.name}"
        role = self._roles.get(key)
        if role is None:
            return ()
        if role.aggregation_rule is None:
            return role.rules or ()
        return tuple(dict.fromkeys(rule for part in self._gathered(role) for rule in part.rules or ()))

    def rules_named(self, kind: str, namespace: str, name: str) -> Sequence[Rule]:
        self._refresh()
        return self.rules_of(_RoleRef(kind, name), namespace)

    def _gathered(self, role: _Role) -> list[_Role]:
        """The plain roles that an aggregating one gathers, through others that aggregate; each looked at once."""
        plain: list[_Role] = []
        seen, waiting = {role.metadata.name}, [role]
        while waiting:
            gathering = waiting.pop()
            assert gathering.aggregation_rule is not None
            selectors = [labels.of(raw) for raw in gathering.aggregation_rule.cluster_role_selectors or ()]
            for key, other in self._roles.items():
                name = other.metadata.name
                if name in seen or not key.startswith(CLUSTER_ROLES):
                    continue
                if any(selector.matches(other.metadata.labels or {}) for selector in selectors):
                    seen.add(name)
                    (plain if other.aggregation_rule is None else waiting).append(other)
        return plain

    def _refresh(self) -> None:
        try:
            changes = [change for watcher in self._watchers for change in watcher.take()]
        except (Expired, StopAsyncIteration):
            self._watchers = []
            changes = []
        if not self._watchers:
            self._rebuild()
            return
        if not changes:
            return
        changes.sort(key=lambda change: change.revision)
        for change in changes:
            self._put(change.key, change.value)
        self._index()

    def _rebuild(self) -> None:
        self._roles.clear()
        self._bindings.clear()
        for prefix in PREFIXES:
            listed = self._store.list(prefix)
            self._watchers.append(self._store.watch(prefix, listed.revision))
            for entry in listed.entries:
                self._put(entry.key, entry.value)
        self._index()

    def _put(self, key: str, value: bytes | None) -> None:
        if key.startswith((CLUSTER_ROLES, ROLES)):
            if value is None:
                self._roles.pop(key, None)
            else:
                self._roles[key] = _role.decode(value)
        elif value is None:
            self._bindings.pop(key, None)
        else:
            self._bindings[key] = _binding.decode(value)

    def _index(self) -> None:
        self._decisions.clear()
        self._by_subject = {}
        for binding in self._bindings.values():
            for subject in binding.subjects or ():
                # A RoleBinding's ServiceAccount without a namespace is one of the binding's own.
                own = binding.metadata.namespace
                namespace = subject.namespace or own if subject.kind == "ServiceAccount" else ""
                self._by_subject.setdefault((subject.kind, namespace, subject.name), []).append(binding)


def _subjects(user: User) -> Iterator[Subject]:
    yield Subject("User", user.name)
    for group in user.groups:
        yield Subject("Group", group)
    if user.name.startswith("system:serviceaccount:") and user.name.count(":") == 3:
        _, _, namespace, name = user.name.split(":")
        yield Subject("ServiceAccount", name, namespace)
