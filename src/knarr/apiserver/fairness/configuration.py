"""The flow schemas and priority levels that a cluster begins with, as rows: upstream's mandatory and suggested ones.

`classify.py` reads them as it reads those of users; the mandatory ones hold even when somebody deletes their objects.
Spec: "API Priority and Fairness", defaults.
"""

from typing import Any, Final

Json = dict[str, Any]
API_VERSION: Final = "flowcontrol.apiserver.k8s.io/v1"
MANDATORY: Final = ("exempt", "catch-all")
AUTOUPDATE: Final = "apf.kubernetes.io/autoupdate-spec"

# Level → shares, percent that others may borrow, (queues, hand, queue length) or None: refuse what finds no seat.
LEVELS: Final[dict[str, tuple[int, int, tuple[int, int, int] | None]]] = {
    "node-high": (40, 25, (64, 6, 50)),
    "system": (30, 33, (64, 6, 50)),
    "leader-election": (10, 0, (16, 4, 50)),
    "workload-high": (40, 50, (128, 6, 50)),
    "workload-low": (100, 90, (128, 6, 50)),
    "global-default": (20, 50, (128, 6, 50)),
    "catch-all": (5, 0, None),
}
# Rules that end in "namespaced" do not hold for what is in no namespace.
_ANY: Final = "* * *"
_LEASES: Final = "get,create,update coordination.k8s.io leases namespaced"
_ENDPOINTS: Final = "get,create,update core endpoints namespaced"
_OWN_NODE: Final = ("* core nodes,nodes/status", "* coordination.k8s.io leases namespaced")
_EVERYBODY: Final = "Group:system:unauthenticated Group:system:authenticated"
_MANAGER, _SCHEDULER = "User:system:kube-controller-manager", "User:system:kube-scheduler"
_ACCOUNTS: Final = "ServiceAccount:kube-system:*"
_MIRRORS: Final = " ".join(
    f"ServiceAccount:kube-system:{each}" for each in ("endpoint-controller", "endpointslicemirroring-controller")
)
_PROBED: Final = "get /healthz,/readyz,/livez"
_PATHS: Final = "* *"
# Schema → precedence, level, what tells flows apart, subjects, rules as "verbs groups resources [namespaced]" or as
# "verbs paths".
SCHEMAS: Final[dict[str, tuple[int, str, str, str, tuple[str, ...]]]] = {
    "exempt": (1, "exempt", "", "Group:system:masters", (_ANY, _PATHS)),
    "probes": (2, "exempt", "", _EVERYBODY, (_PROBED,)),
    "system-leader-election": (100, "leader-election", "ByUser", f"{_MANAGER} {_SCHEDULER} {_ACCOUNTS}", (_LEASES,)),
    "endpoint-controller": (150, "workload-high", "ByUser", f"{_MANAGER} {_MIRRORS}", (_ENDPOINTS,)),
    "workload-leader-election": (200, "leader-election", "ByUser", _ACCOUNTS, (_LEASES,)),
    "system-node-high": (400, "node-high", "ByUser", "Group:system:nodes", _OWN_NODE),
    "system-nodes": (500, "system", "ByUser", "Group:system:nodes", (_ANY, _PATHS)),
    "kube-controller-manager": (800, "workload-high", "ByNamespace", _MANAGER, (_ANY, _PATHS)),
    "kube-scheduler": (800, "workload-high", "ByNamespace", _SCHEDULER, (_ANY, _PATHS)),
    "kube-system-service-accounts": (
        900, "workload-high", "ByNamespace", _ACCOUNTS, (_ANY, _PATHS),
    ),
    "service-accounts": (9000, "workload-low", "ByUser", "Group:system:serviceaccounts", (_ANY, _PATHS)),
    "global-default": (9900, "global-default", "ByUser", _EVERYBODY, (_ANY, _PATHS)),
    "catch-all": (10000, "catch-all", "ByUser", _EVERYBODY, (_ANY, _PATHS)),
}  # fmt: skip


def objects() -> list[Json]:
    """Every level and schema as an object to create."""
    return [exempt_level(), *map(level, LEVELS), *map(schema, SCHEMAS)]


def mandatory_levels() -> list[Json]:
    return [exempt_level(), level("catch-all")]


def exempt_level() -> Json:
    spec = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    return {**_object("PriorityLevelConfiguration", "exempt"), "spec": spec}


def level(name: str) -> Json:
    shares, lendable, queuing = LEVELS[name]
    response: Json = {"type": "Reject"}
    if queuing is not None:
        queues, hand, length = queuing
        response = {"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": length}}
    limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}
    return {**_object("PriorityLevelConfiguration", name), "spec": {"type": "Limited", "limited": limited}}


def schema(name: str) -> Json:
    precedence, level, distinguisher, subjects, rules = SCHEMAS[name]
    resources = [_resource_rule(rule) for rule in rules if rule.count(" ") > 1]
    paths = [_path_rule(rule) for rule in rules if rule.count(" ") == 1]
    rule: Json = {"subjects": [_subject(text) for text in subjects.split()]}
    rule |= {key: value for key, value in (("resourceRules", resources), ("nonResourceRules", paths)) if value}
    spec: Json = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [rule],
    }
    if distinguisher:
        spec["distinguisherMethod"] = {"type": distinguisher}
    return {**_object("FlowSchema", name), "spec": spec}


def _object(kind: str, name: str) -> Json:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}}}


def _resource_rule(text: str) -> Json:
    verbs, groups, resources, *scope = (part.split(",") for part in text.split())
    rule: Json = {
        "verbs": verbs,
        "apiGroups": ["" if group == "core" else group for group in groups],
        "resources": resources,
        "namespaces": ["*"],
    }
    return rule if scope else rule | {"clusterScope": True}


def _path_rule(text: str) -> Json:
    verbs, paths = text.split()
    return {"verbs": verbs.split(","), "nonResourceURLs": paths.split(",")}


def _subject(text: str) -> Json:
    kind, _, name = text.partition(":")
    match kind:
        case "User":
            return {"kind": "User", "user": {"name": name}}
        case "Group":
            return {"kind": "Group", "group": {"name": name}}
        case _:
            namespace, _, account = name.partition(":")
            return {"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": account}}
