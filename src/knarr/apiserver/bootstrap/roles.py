"""The default roles and their bindings as objects, and what a stored one lacks of them after an upgrade.

Rules are rows: role_rules.py's, and for controllers controller_roles.py's. As upstream, a start restores rules and
subjects that are missing, makes a binding anew that names another role, and leaves what somebody added;
`rbac.authorization.kubernetes.io/autoupdate: "false"` on an object keeps it as it is. So a cluster made by an older
version keeps rules that were wider then; deleting the role brings the default back at the next start.
Spec: "Using RBAC", auto-reconciliation.
"""

from typing import Any, Final

from knarr.apiserver.bootstrap import controller_roles, role_rules
from knarr.apiserver.bootstrap.controller_roles import Rule

Json = dict[str, Any]
API_VERSION: Final = "rbac.authorization.k8s.io/v1"
API_GROUP: Final = "rbac.authorization.k8s.io"
AUTOUPDATE: Final = "rbac.authorization.kubernetes.io/autoupdate"
DEFAULTED: Final = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_SYSTEM: Final = "kube-system"
# ClusterRole → the signer whose requests it may approve.
APPROVERS: Final = {
    f"system:certificates.k8s.io:{signer}-approver": f"kubernetes.io/{signer}"
    for signer in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
}
# ClusterRole → the label that selects the roles it unites.
AGGREGATED: Final = {
    "admin": "rbac.authorization.k8s.io/aggregate-to-admin",
    "edit": "rbac.authorization.k8s.io/aggregate-to-edit",
    "view": "rbac.authorization.k8s.io/aggregate-to-view",
}
# ClusterRole → labels besides DEFAULTED, by which the aggregated ones find each other.
LABELS: Final = {
    "edit": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"},
    "view": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"},
    "system:aggregate-to-admin": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"},
    "system:aggregate-to-edit": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"},
    "system:aggregate-to-view": {"rbac.authorization.k8s.io/aggregate-to-view": "true"},
    "system:aggregated-metrics-reader": dict.fromkeys(AGGREGATED.values(), "true"),
}
# ClusterRoleBinding → (its role, subjects as kind:name or ServiceAccount:namespace:name).
BINDINGS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "cluster-admin": ("cluster-admin", ("Group:system:masters",)),
    "system:basic-user": ("system:basic-user", ("Group:system:authenticated",)),
    "system:cluster-trust-bundle-discovery": (
        "system:cluster-trust-bundle-discovery", ("Group:system:serviceaccounts",),
    ),
    "system:discovery": ("system:discovery", ("Group:system:authenticated",)),
    "system:kube-controller-manager": ("system:kube-controller-manager", ("User:system:kube-controller-manager",)),
    "system:kube-dns": ("system:kube-dns", ("ServiceAccount:kube-system:kube-dns",)),
    "system:kube-scheduler": ("system:kube-scheduler", ("User:system:kube-scheduler",)),
    "system:monitoring": ("system:monitoring", ("Group:system:monitoring",)),
    "system:node": ("system:node", ()),
    "system:node-proxier": ("system:node-proxier", ("User:system:kube-proxy",)),
    "system:public-info-viewer": (
        "system:public-info-viewer", ("Group:system:authenticated", "Group:system:unauthenticated"),
    ),
    "system:service-account-issuer-discovery": (
        "system:service-account-issuer-discovery", ("Group:system:serviceaccounts",),
    ),
    "system:volume-scheduler": ("system:volume-scheduler", ("User:system:kube-scheduler",)),
    # What kubeadm binds, so that a kubelet with a bootstrap token joins and every kubelet renews its certificate.
    "kubeadm:kubelet-bootstrap": (
        "system:node-bootstrapper", ("Group:system:bootstrappers:kubeadm:default-node-token",),
    ),
    "kubeadm:node-autoapprove-bootstrap": (
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        ("Group:system:bootstrappers:kubeadm:default-node-token",),
    ),
    "kubeadm:node-autoapprove-certificate-rotation": (
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", ("Group:system:nodes",),
    ),
    **{
        controller_roles.PREFIX + name: (controller_roles.PREFIX + name, (f"ServiceAccount:{_SYSTEM}:{name}",))
        for name in controller_roles.RULES
    },
}  # fmt: skip
# (namespace, RoleBinding) → (its Role, subjects as above).
NAMESPACED_BINDINGS: Final[dict[tuple[str, str], tuple[str, tuple[str, ...]]]] = {
    **{
        (namespace, f"system:controller:{name}"): (
            f"system:controller:{name}", (f"ServiceAccount:{_SYSTEM}:{name}",),
        )
        for namespace, name in (
            ("kube-public", "bootstrap-signer"), (_SYSTEM, "bootstrap-signer"), (_SYSTEM, "cloud-provider"),
            (_SYSTEM, "token-cleaner"),
        )
    },
    (_SYSTEM, "system::extension-apiserver-authentication-reader"): (
        "extension-apiserver-authentication-reader",
        ("User:system:kube-controller-manager", "User:system:kube-scheduler"),
    ),
    (_SYSTEM, "system::leader-locking-kube-controller-manager"): (
        "system::leader-locking-kube-controller-manager",
        (
            "User:system:kube-controller-manager", "ServiceAccount:kube-system:kube-controller-manager",
            "ServiceAccount:kube-system:leader-election-controller",
        ),
    ),
    (_SYSTEM, "system::leader-locking-kube-scheduler"): (
        "system::leader-locking-kube-scheduler",
        ("User:system:kube-scheduler", "ServiceAccount:kube-system:kube-scheduler"),
    ),
}  # fmt: skip


def rules(role: str) -> list[Json]:
    """The PolicyRules of one default ClusterRole."""
    return [_rule(rule) for rule in role_rules.RULES[role]]


def objects() -> list[Json]:
    """Every default role and binding as an object to create."""
    made = [_role("cluster-admin", [_any_resource(), {"verbs": ["*"], "nonResourceURLs": ["*"]}])]
    made += [_role(name, rules(name)) for name in role_rules.RULES]
    made += [
        _role(controller_roles.PREFIX + name, [_rule(rule) for rule in some])
        for name, some in controller_roles.RULES.items()
    ]
    made += [
        _role(name, [{"verbs": ["get"], "nonResourceURLs": list(paths)}]) for name, paths in role_rules.PATHS.items()
    ]
    made += [_role(name, _approver(signer)) for name, signer in APPROVERS.items()]
    made += [_aggregated(name, label) for name, label in AGGREGATED.items()]
    made += [
        _role(name, [_rule(rule) for rule in some], namespace)
        for (namespace, name), some in role_rules.NAMESPACED.items()
    ]
    made += [_binding(name, role, subjects) for name, (role, subjects) in BINDINGS.items()]
    made += [
        _binding(name, role, subjects, namespace) for (namespace, name), (role, subjects) in NAMESPACED_BINDINGS.items()
    ]
    return made


def leads_elsewhere(stored: Json, default: Json) -> bool:
    """Whether a stored binding has another role than its default, which a start gives back."""
    return _is_kept_up(stored) and stored.get("roleRef") != default.get("roleRef")


def lacking(stored: Json, default: Json) -> Json:
    """What a merge patch gives back to a stored role or binding of what the default has; {} when nothing is missing."""
    if not _is_kept_up(stored):
        return {}
    found: Json = {}
    for field in ("rules", "subjects"):
        kept = stored.get(field) or []
        missing = [each for each in default.get(field) or [] if each not in kept]
        if missing and "aggregationRule" not in default:  # the rules of those are the controller's
            found[field] = [*kept, *missing]
    metadata = {}
    for field in ("labels", "annotations"):
        now = stored["metadata"].get(field) or {}
        missing_keys = {key: value for key, value in default["metadata"][field].items() if key not in now}
        if missing_keys:
            metadata[field] = missing_keys
    return found | ({"metadata": metadata} if metadata else {})


def _is_kept_up(stored: Json) -> bool:
    annotations = stored["metadata"].get("annotations") or {}
    return bool(annotations.get(AUTOUPDATE, "true") == "true")


def _approver(signer: str) -> list[Json]:
    return [{"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["approve"],
             "resourceNames": [signer]}]  # fmt: skip


def _any_resource() -> Json:
    return {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}


def _rule(rule: Rule) -> Json:
    verbs, groups, resources = rule[:3]
    made = {
        "verbs": verbs.split(),
        "apiGroups": ["" if group == "core" else group for group in groups.split()],
        "resources": resources.split(),
    }
    return made | ({"resourceNames": rule[3].split()} if rule[3:] else {})


def _role(name: str, rules: list[Json], namespace: str = "") -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": _metadata(name, LABELS.get(name, {}), namespace),
        "rules": rules,
    }


def _aggregated(name: str, label: str) -> Json:
    role = _role(name, _united(label))
    role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}
    return role


def _united(label: str) -> list[Json]:
    """What controllers/clusterroles.py writes for the label: every rule of the roles that have it, once."""
    found: list[Json] = []
    for name in sorted(each for each, labels in LABELS.items() if label in labels):
        some = _united(AGGREGATED[name]) if name in AGGREGATED else rules(name)
        found += [rule for rule in some if rule not in found]
    return found


def _binding(name: str, role: str, subjects: tuple[str, ...], namespace: str = "") -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": _metadata(name, {}, namespace),
        "roleRef": {"apiGroup": API_GROUP, "kind": "Role" if namespace else "ClusterRole", "name": role},
        "subjects": [_subject(subject) for subject in subjects],
    }


def _subject(text: str) -> Json:
    kind, _, name = text.partition(":")
    if kind != "ServiceAccount":
        return {"apiGroup": API_GROUP, "kind": kind, "name": name}
    namespace, _, account = name.partition(":")
    return {"kind": kind, "name": account, "namespace": namespace}


def _metadata(name: str, labels: Json, namespace: str) -> Json:
    placed: Json = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {**placed, "labels": DEFAULTED | labels, "annotations": {AUTOUPDATE: "true"}}
