"""The rules of the default roles that are no controller's: upstream's names and rules, as rows.

A rule is (verbs, API groups, resources[, names]), each a blank-separated text; "core" stands for the empty group.
Nobody is bound to system:node: kubelets have its rules, narrowed to their own pods, by the Node authorizer
(nodes.py). Controllers' roles are in controller_roles.py, what binds roles to whom in roles.py.
"""

from typing import Final

from knarr.apiserver.bootstrap.controller_roles import EVENTS, READ, Rule

WRITE: Final = "create delete deletecollection patch update"
ALL: Final = "create delete deletecollection get list patch update watch"
_AUTHENTICATION, _AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"
_CERTIFICATES, _LEASES, _STORAGE = "certificates.k8s.io", "coordination.k8s.io", "storage.k8s.io"
_DEVICES: Final = "resource.k8s.io"
_SCALED: Final = "deployments deployments/rollback deployments/scale"
_SETS: Final = "replicasets replicasets/scale"
_ENTERED: Final = "pods/attach pods/exec pods/portforward pods/proxy"
_EDIT: Final[tuple[Rule, ...]] = (
    (READ, "core", f"{_ENTERED} secrets services/proxy"),
    ("impersonate", "core", "serviceaccounts"),
    (WRITE, "core", f"pods {_ENTERED}"),
    ("create", "core", "pods/eviction"),
    (
        WRITE,
        "core",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets"
        " serviceaccounts services services/proxy",
    ),
    ("create", "core", "serviceaccounts/token"),
    (WRITE, "apps", f"daemonsets {_SCALED} {_SETS} statefulsets statefulsets/scale"),
    (WRITE, "autoscaling", "horizontalpodautoscalers"),
    (WRITE, "batch", "cronjobs jobs"),
    (WRITE, "extensions", f"daemonsets {_SCALED} ingresses networkpolicies {_SETS} replicationcontrollers/scale"),
    (WRITE, "policy", "poddisruptionbudgets"),
    (WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    (ALL, _LEASES, "leases"),
    (WRITE, _DEVICES, "resourceclaims resourceclaimtemplates"),
)
_SEEN: Final = "daemonsets daemonsets/status deployments deployments/scale deployments/status"
_SEEN_SETS: Final = "replicasets replicasets/scale replicasets/status"
_VIEW: Final[tuple[Rule, ...]] = (
    (
        READ,
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers"
        " replicationcontrollers/scale serviceaccounts services services/status",
    ),
    (
        READ,
        "core",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status"
        " resourcequotas resourcequotas/status",
    ),
    (READ, "core", "namespaces"),
    (READ, "discovery.k8s.io", "endpointslices"),
    (READ, "apps", f"controllerrevisions {_SEEN} {_SEEN_SETS} statefulsets statefulsets/scale statefulsets/status"),
    (READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    (READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    (
        READ,
        "extensions",
        f"{_SEEN} ingresses ingresses/status networkpolicies {_SEEN_SETS} replicationcontrollers/scale",
    ),
    (READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    (READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    (READ, _DEVICES, "resourceclaims resourceclaims/status resourceclaimtemplates"),
)
_TRUST: Final[Rule] = (READ, _CERTIFICATES, "clustertrustbundles")
_NODE: Final[tuple[Rule, ...]] = (
    ("create", _AUTHENTICATION, "tokenreviews"),
    ("create", _AUTHORIZATION, "localsubjectaccessreviews subjectaccessreviews"),
    (READ, "core", "services"),
    ("create get list watch", "core", "nodes"),
    ("patch update", "core", "nodes/status"),
    ("patch update", "core", "nodes"),
    ("create patch update", "core", "events"),
    (READ, "core", "pods"),
    ("create delete", "core", "pods"),
    ("patch update", "core", "pods/status"),
    ("create", "core", "pods/eviction"),
    (READ, "core", "configmaps secrets"),
    ("get", "core", "persistentvolumeclaims persistentvolumes"),
    ("get", "core", "endpoints"),
    ("create get list watch", _CERTIFICATES, "certificatesigningrequests"),
    ("create delete get patch update", _LEASES, "leases"),
    ("get", _STORAGE, "volumeattachments"),
    ("create", "core", "serviceaccounts/token"),
    ("get patch update", "core", "persistentvolumeclaims/status"),
    (READ, _STORAGE, "csidrivers"),
    ("create delete get patch update", _STORAGE, "csinodes"),
    (READ, "node.k8s.io", "runtimeclasses"),
    ("get", _DEVICES, "resourceclaims"),
    ("deletecollection", _DEVICES, "resourceslices"),
    _TRUST,
    ("get", "core", "serviceaccounts"),
    ("create get list watch", _CERTIFICATES, "podcertificaterequests"),
)
_MANAGER: Final[tuple[Rule, ...]] = (
    EVENTS,
    ("create", _LEASES, "leases"),
    ("get update", _LEASES, "leases", "kube-controller-manager"),
    ("create", "core", "secrets serviceaccounts"),
    ("delete", "core", "secrets"),
    ("get", "core", "configmaps namespaces secrets serviceaccounts"),
    ("update", "core", "secrets serviceaccounts"),
    ("create", _AUTHENTICATION, "tokenreviews"),
    ("create", _AUTHORIZATION, "subjectaccessreviews"),
    ("list watch", "*", "*"),
    ("create", "core", "serviceaccounts/token"),
)
_SCHEDULER: Final[tuple[Rule, ...]] = (
    EVENTS,
    ("create", _LEASES, "leases"),
    ("get list update watch", _LEASES, "leases", "kube-scheduler"),
    (ALL, _LEASES, "leasecandidates"),
    (READ, "core", "nodes"),
    ("delete get list watch", "core", "pods"),
    ("create", "core", "bindings pods/binding"),
    ("patch update", "core", "pods/status"),
    (READ, "core", "replicationcontrollers services"),
    (READ, "apps extensions", "replicasets"),
    (READ, "apps", "statefulsets"),
    (READ, "policy", "poddisruptionbudgets"),
    (READ, "core", "persistentvolumeclaims persistentvolumes"),
    ("create", _AUTHENTICATION, "tokenreviews"),
    ("create", _AUTHORIZATION, "subjectaccessreviews"),
    (READ, _STORAGE, "csinodes"),
    (READ, _STORAGE, "volumeattachments"),
    (READ, "core", "namespaces"),
    (READ, _STORAGE, "csidrivers"),
    (READ, _STORAGE, "csistoragecapacities"),
    (READ, _DEVICES, "deviceclasses"),
    ("get list patch update watch", _DEVICES, "resourceclaims"),
    ("get list patch update watch", _DEVICES, "resourceclaims/status"),
    ("get list patch update watch", "core", "pods/finalizers"),
    (READ, _DEVICES, "resourceslices"),
    ("create delete", _DEVICES, "resourceclaims"),
    (READ, _DEVICES, "devicetaintrules"),
)
# ClusterRole → its rules.
RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "system:aggregate-to-admin": (
        ("create", _AUTHORIZATION, "localsubjectaccessreviews"),
        (ALL, "rbac.authorization.k8s.io", "rolebindings roles"),
    ),
    "system:aggregate-to-edit": _EDIT,
    "system:aggregate-to-view": _VIEW,
    "system:auth-delegator": (
        ("create", _AUTHENTICATION, "tokenreviews"),
        ("create", _AUTHORIZATION, "subjectaccessreviews"),
    ),
    "system:basic-user": (
        ("create", _AUTHORIZATION, "selfsubjectaccessreviews selfsubjectrulesreviews"),
        ("create", _AUTHENTICATION, "selfsubjectreviews"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        ("create", _CERTIFICATES, "certificatesigningrequests/nodeclient"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        ("create", _CERTIFICATES, "certificatesigningrequests/selfnodeclient"),
    ),
    "system:cluster-trust-bundle-discovery": (_TRUST,),
    "system:heapster": ((READ, "core", "events namespaces nodes pods"), (READ, "extensions", "deployments")),
    "system:kube-aggregator": ((READ, "core", "endpoints services"),),
    "system:kube-controller-manager": _MANAGER,
    "system:kube-dns": (("list watch", "core", "endpoints services"),),
    "system:kube-scheduler": _SCHEDULER,
    "system:kubelet-api-admin": (
        (READ, "core", "nodes"),
        ("proxy", "core", "nodes"),
        ("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
        ("*", "core", "nodes/configz nodes/healthz nodes/pods"),
    ),
    "system:node": _NODE,
    "system:node-bootstrapper": (("create get list watch", _CERTIFICATES, "certificatesigningrequests"),),
    "system:node-problem-detector": (("get", "core", "nodes"), ("patch", "core", "nodes/status"), EVENTS),
    "system:node-proxier": (
        ("list watch", "core", "endpoints services"),
        (READ, "core", "nodes"),
        EVENTS,
        ("list watch", "networking.k8s.io", "servicecidrs"),
        ("list watch", "discovery.k8s.io", "endpointslices"),
    ),
    "system:persistent-volume-provisioner": (
        ("create delete get list watch", "core", "persistentvolumes"),
        ("get list update watch", "core", "persistentvolumeclaims"),
        (READ, _STORAGE, "storageclasses"),
        ("watch", "core", "events"),
        EVENTS,
    ),
    "system:volume-scheduler": (
        ("get list patch update watch", "core", "persistentvolumes"),
        (READ, _STORAGE, "storageclasses"),
        ("get list patch update watch", "core", "persistentvolumeclaims"),
    ),
    # What metrics-server installs beside its API; its labels are in roles.LABELS.
    "system:aggregated-metrics-reader": ((READ, "metrics.k8s.io", "nodes pods"),),
}
_HEALTH: Final = ("/healthz", "/livez", "/readyz", "/version", "/version/")
# ClusterRole → paths that it may get.
PATHS: Final[dict[str, tuple[str, ...]]] = {
    "system:discovery": (
        "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version",
        "/version/",
    ),
    "system:monitoring": (
        "/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*",
    ),
    "system:public-info-viewer": _HEALTH,
    "system:service-account-issuer-discovery": (
        "/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks",
        "/openid/v1/jwks/",
    ),
}  # fmt: skip
_CANDIDATES: Final[tuple[Rule, ...]] = (
    ("create get list update watch", _LEASES, "leases"),
    ("create get list update watch", _LEASES, "leasecandidates"),
)
# (namespace, Role) → its rules.
NAMESPACED: Final[dict[tuple[str, str], tuple[Rule, ...]]] = {
    ("kube-public", "system:controller:bootstrap-signer"): (
        (READ, "core", "configmaps"),
        ("update", "core", "configmaps", "cluster-info"),
        EVENTS,
    ),
    ("kube-system", "extension-apiserver-authentication-reader"): (
        (READ, "core", "configmaps", "extension-apiserver-authentication"),
    ),
    ("kube-system", "system::leader-locking-kube-controller-manager"): _CANDIDATES,
    ("kube-system", "system::leader-locking-kube-scheduler"): _CANDIDATES,
    ("kube-system", "system:controller:bootstrap-signer"): ((READ, "core", "secrets"),),
    ("kube-system", "system:controller:cloud-provider"): (("create get list watch", "core", "configmaps"),),
    ("kube-system", "system:controller:token-cleaner"): (("delete get list watch", "core", "secrets"), EVENTS),
}
