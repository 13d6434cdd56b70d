"""The default ClusterRoles and ClusterRoleBindings, as rows. Upstream's names; rules by the documented purpose.

A rule is (verbs, API groups, resources), each a blank-separated text; "core" stands for the empty group.
Nobody is bound to system:node: kubelets have its rules, narrowed to their own pods, by the Node authorizer (nodes.py).
"""

from typing import Any, Final

Json = dict[str, Any]
Rule = tuple[str, str, str]
READ: Final = "get list watch"
WRITE: Final = "create delete deletecollection patch update"
ALL: Final = f"{READ} {WRITE}"
DEFAULTED: Final = {"kubernetes.io/bootstrapping": "rbac-defaults"}

_WORKLOADS: Final = (
    "daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale"
)
_CORE_EDITED: Final = (
    "configmaps endpoints events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale services"
)
_EDIT: Final[tuple[Rule, ...]] = (
    ("get list watch", "core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    ("create delete deletecollection patch update", "core", "pods pods/attach pods/exec pods/portforward pods/proxy"),
    ("create", "core", "pods/eviction serviceaccounts/token"),
    ("patch update", "core", "pods/ephemeralcontainers pods/resize"),
    ("impersonate", "core", "serviceaccounts"),
    (WRITE, "core", f"{_CORE_EDITED} secrets serviceaccounts services/proxy"),
    (WRITE, "apps", f"{_WORKLOADS} deployments/rollback"),
    (WRITE, "autoscaling", "horizontalpodautoscalers"),
    (WRITE, "batch", "cronjobs jobs"),
    (WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    (WRITE, "policy", "poddisruptionbudgets"),
    (ALL, "coordination.k8s.io", "leases"),
)
_VIEW: Final[tuple[Rule, ...]] = (
    (READ, "core", f"{_CORE_EDITED} persistentvolumeclaims/status pods replicationcontrollers/status serviceaccounts"),
    (READ, "core", "services/status bindings limitranges namespaces namespaces/status pods/log pods/status"),
    (READ, "core", "resourcequotas resourcequotas/status"),
    (READ, "discovery.k8s.io", "endpointslices"),
    (READ, "apps", f"controllerrevisions {_WORKLOADS} daemonsets/status deployments/status replicasets/status"),
    (READ, "apps", "statefulsets/status"),
    (READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    (READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    (READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    (READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    (READ, "metrics.k8s.io", "pods nodes"),
    (READ, "events.k8s.io", "events"),
)
_ADMIN: Final[tuple[Rule, ...]] = (
    ("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    (ALL, "rbac.authorization.k8s.io", "roles rolebindings"),
)
_NODE: Final[tuple[Rule, ...]] = (
    ("create", "authentication.k8s.io", "tokenreviews"),
    ("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
    (READ, "core", "services pods secrets configmaps persistentvolumeclaims persistentvolumes nodes"),
    (READ, "core", "namespaces serviceaccounts"),
    ("create get update patch delete", "core", "nodes nodes/status"),
    ("create delete patch update", "core", "pods pods/status events"),
    ("create", "core", "pods/eviction serviceaccounts/token"),
    ("create update patch", "events.k8s.io", "events"),
    (READ, "node.k8s.io", "runtimeclasses"),
    (f"{READ} create update patch delete", "coordination.k8s.io", "leases"),
    ("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    (f"{READ} create update patch delete", "storage.k8s.io", "csinodes"),
    (READ, "storage.k8s.io", "csidrivers volumeattachments"),
    (READ, "discovery.k8s.io", "endpointslices"),
)
_SCHEDULER: Final[tuple[Rule, ...]] = (
    ("create patch update", "core events.k8s.io", "events"),
    (f"{READ} create update patch", "coordination.k8s.io", "leases"),
    (READ, "core", "nodes namespaces persistentvolumeclaims persistentvolumes replicationcontrollers services"),
    ("get list watch delete", "core", "pods"),
    ("create", "core", "bindings pods/binding"),
    ("patch update", "core", "pods/status"),
    (READ, "apps", "replicasets statefulsets"),
    (READ, "policy", "poddisruptionbudgets"),
    (READ, "storage.k8s.io", "csidrivers csinodes csistoragecapacities storageclasses volumeattachments"),
)
_PROXY: Final[tuple[Rule, ...]] = (
    ("list watch", "core", "endpoints services"),
    (READ, "core", "nodes"),
    ("create patch update", "core events.k8s.io", "events"),
    ("list watch", "discovery.k8s.io", "endpointslices"),
)
# ClusterRole → its rules.
RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "system:aggregate-to-admin": _ADMIN,
    "system:aggregate-to-edit": _EDIT,
    "system:aggregate-to-view": _VIEW,
    "system:basic-user": (
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        ("create", "authentication.k8s.io", "selfsubjectreviews"),
    ),
    "system:auth-delegator": (
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
    ),
    "system:node": _NODE,
    "system:node-proxier": _PROXY,
    "system:kube-scheduler": _SCHEDULER,
    "system:kube-controller-manager": (("*", "*", "*"),),
    "system:kubelet-api-admin": (
        ("get list watch proxy", "core", "nodes"),
        ("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats nodes/configz nodes/healthz nodes/pods"),
    ),
    "system:kube-dns": (
        ("list watch", "core", "endpoints services"),
        ("list watch", "discovery.k8s.io", "endpointslices"),
    ),
    "system:node-bootstrapper": (("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        ("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        ("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient"),
    ),
    "system:persistent-volume-provisioner": (
        ("get list watch create delete", "core", "persistentvolumes"),
        ("get list watch update", "core", "persistentvolumeclaims"),
        (READ, "storage.k8s.io", "storageclasses"),
        ("watch create update patch", "core", "events"),
    ),
}
_HEALTH: Final = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY: Final = (
    "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version",
    "/version/",
)  # fmt: skip
# ClusterRole → paths that it may get.
PATHS: Final[dict[str, tuple[str, ...]]] = {
    "system:discovery": _DISCOVERY,
    "system:public-info-viewer": _HEALTH,
    "system:service-account-issuer-discovery": (
        "/.well-known/openid-configuration", "/openid/v1/jwks",
    ),
    "system:monitoring": (
        "/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*",
    ),
}  # fmt: skip
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
}
# ClusterRoleBinding → (its role, subjects as kind:name).
BINDINGS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "cluster-admin": ("cluster-admin", ("Group:system:masters",)),
    "system:basic-user": ("system:basic-user", ("Group:system:authenticated",)),
    "system:discovery": ("system:discovery", ("Group:system:authenticated",)),
    "system:public-info-viewer": (
        "system:public-info-viewer", ("Group:system:authenticated", "Group:system:unauthenticated"),
    ),
    "system:service-account-issuer-discovery": (
        "system:service-account-issuer-discovery", ("Group:system:serviceaccounts",),
    ),
    "system:kube-controller-manager": ("system:kube-controller-manager", ("User:system:kube-controller-manager",)),
    "system:kube-scheduler": ("system:kube-scheduler", ("User:system:kube-scheduler",)),
    "system:node": ("system:node", ()),
    "system:node-proxier": ("system:node-proxier", ("User:system:kube-proxy", "Group:system:nodes")),
    "system:kube-apiserver-to-kubelet": ("system:kubelet-api-admin", ("User:system:kube-apiserver",)),
    "system:monitoring": ("system:monitoring", ("Group:system:monitoring",)),
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
}  # fmt: skip


def rules(role: str) -> list[Json]:
    """The PolicyRules of one default ClusterRole."""
    return [_rule(rule) for rule in RULES[role]]


def objects() -> list[Json]:
    """Every default role and binding as an object to create."""
    made = [_role("cluster-admin", [_any_resource(), {"verbs": ["*"], "nonResourceURLs": ["*"]}])]
    made += [_role(name, rules(name)) for name in RULES]
    made += [_role(name, [{"verbs": ["get"], "nonResourceURLs": list(paths)}]) for name, paths in PATHS.items()]
    made += [_role(name, _approver(signer)) for name, signer in APPROVERS.items()]
    made += [_aggregated(name, label) for name, label in AGGREGATED.items()]
    made += [_binding(name, role, subjects) for name, (role, subjects) in BINDINGS.items()]
    return made


def _approver(signer: str) -> list[Json]:
    return [{"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["approve"],
             "resourceNames": [signer]}]  # fmt: skip


def _any_resource() -> Json:
    return {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}


def _rule(rule: Rule) -> Json:
    verbs, groups, resources = rule
    return {
        "verbs": verbs.split(),
        "apiGroups": ["" if group == "core" else group for group in groups.split()],
        "resources": resources.split(),
    }


def _role(name: str, rules: list[Json]) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": _metadata(name, LABELS.get(name, {})),
        "rules": rules,
    }


def _aggregated(name: str, label: str) -> Json:
    included = {"view": ("view",), "edit": ("edit", "view"), "admin": ("admin", "edit", "view")}[name]
    rules = [_rule(rule) for part in included for rule in RULES[f"system:aggregate-to-{part}"]]
    role = _role(name, rules)
    role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}
    return role


def _binding(name: str, role: str, subjects: tuple[str, ...]) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": _metadata(name, {}),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [
            {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": subject.partition(":")[0],
                "name": subject.partition(":")[2],
            }
            for subject in subjects
        ],
    }


def _metadata(name: str, labels: Json) -> Json:
    return {
        "name": name,
        "labels": DEFAULTED | labels,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    }
