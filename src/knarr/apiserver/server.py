"""The API server as an object: what the pipeline and the verbs reach through `context.server`.

Built by assembly (or a test) from a store and a clock. No listener here: wire/http_server.py serves `pipeline.handle`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from knarr.apiserver.access import Access, AllowAll, Attributes, Decision
from knarr.apiserver.admission.services import Allocations
from knarr.apiserver.authn import Authenticator
from knarr.apiserver.context import RequestContext, User
from knarr.apiserver.discovery import Discovery
from knarr.apiserver.fairness.gate import Gate
from knarr.apiserver.kubelets import Kubelets
from knarr.apiserver.metrics import Metrics
from knarr.apiserver.nodes import NodeAuthorizer
from knarr.apiserver.presenting_tables import Tables
from knarr.apiserver.rbac import Rbac, Rule
from knarr.apiserver.resources import Resources
from knarr.apiserver.tokens import Tokens
from knarr.apiserver.verbs.watch import Frames
from knarr.base.clock import Clock, SystemClock
from knarr.kinds import metrics, registry
from knarr.kinds.registry import Kind
from knarr.store.store import Store
from knarr.wire import http

Reasons = Callable[[str, str, str, str], dict[str, str]]
"""From (group, kind, namespace, name) to what each controller of the object says it waits for."""
Subresource = Callable[[RequestContext], Awaitable[http.Response]]


@dataclass(slots=True)
class ApiServer:
    """`ready_checks` name what /readyz asks: each returns None or what is wrong."""

    store: Store
    clock: Clock = field(default_factory=SystemClock)
    access: Access = field(default_factory=AllowAll)
    authenticator: Authenticator = field(default_factory=Authenticator)
    resources: Resources = field(default_factory=lambda: Resources([*served_kinds(), *metrics.ROWS]))
    discovery: Discovery = field(default_factory=lambda: Discovery([*served_kinds(), *metrics.ROWS]))
    tokens: Tokens | None = None
    kubelets: Kubelets = field(default_factory=Kubelets)
    gate: Gate | None = None
    pki: Path | None = None
    pod_security: str = "privileged"
    taints_new_nodes: bool = False
    service_network: str = "10.96.0.0/16"
    tables: Tables = field(default_factory=Tables)
    quota_holds: dict[str, dict[str, Fraction]] = field(default_factory=dict)
    allocations: Allocations = field(init=False)
    nodes: NodeAuthorizer = field(init=False)
    metrics: Metrics = field(default_factory=Metrics)
    frames: Frames = field(default_factory=Frames)
    metric_lines: list[Callable[[], list[str]]] = field(default_factory=list)
    ready_checks: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    reasons: Reasons = field(default=lambda _group, _kind, _namespace, _name: {})

    def __post_init__(self) -> None:
        self.allocations = Allocations(self.store, self.service_network)
        self.nodes = NodeAuthorizer(self.store)

    def decide(self, user: User, wanted: Attributes) -> Decision:
        """Whether the user may: the first authorizer that allows it counts, the Node authorizer before RBAC."""
        by_node = self.nodes.decide(user, wanted)
        if by_node.is_allowed:
            return by_node
        if wanted.field_selector:  # RBAC keeps what it decided; a selector's text would make that useless
            wanted = wanted._replace(field_selector="")
        decision = self.access.decide(user, wanted)
        return by_node if by_node.reason and not decision.is_allowed else decision

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """Every RBAC rule that the user has in the namespace."""
        if not isinstance(self.access, Rbac):
            return []
        return [rule for grant in self.access.grants(user, namespace) for rule in grant.rules]


def served_kinds() -> list[Kind]:
    """Every kind of the facts that is served without being asked for, in the table's order."""
    return list(registry.builtin())
