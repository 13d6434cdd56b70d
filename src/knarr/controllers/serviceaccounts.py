"""What every active namespace gets: the ServiceAccount `default` and the ConfigMap with the cluster's root CA.

Not here: tokens (the API server signs them) and their volumes (admission). Spec: "Managing Service Accounts".
"""

from collections.abc import Sequence
from typing import Final

from knarr.base.clock import Instant
from knarr.client.view import View
from knarr.controllers.controller import Action, Controller, Create, Key, Patch, Plan
from knarr.kinds.core_config import CONFIGMAP, NAMESPACE, SERVICEACCOUNT
from knarr.kinds.lens.config import ConfigMap, Namespace, ServiceAccount

ROOT_CA: Final = "kube-root-ca.crt"
DESCRIPTION: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def plan_accounts(namespace: Namespace, view: View, _now: Instant) -> Plan:
    """The ServiceAccount `default`."""
    name = namespace.metadata.name
    if not _is_active(namespace) or view.get(ServiceAccount, name, "default") is not None:
        return Plan()
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
    return Plan([Create(SERVICEACCOUNT, name, body, tolerate_existing=True)])


def plan_root_ca(certificate: str, namespace: Namespace, view: View) -> Plan:
    """The ConfigMap kube-root-ca.crt, with exactly the certificate."""
    name = namespace.metadata.name
    if not _is_active(namespace):
        return Plan()
    wanted = {"ca.crt": certificate}
    found = view.get(ConfigMap, name, ROOT_CA)
    actions: list[Action] = []
    if found is None:
        metadata = {"name": ROOT_CA, "namespace": name, "annotations": {"kubernetes.io/description": DESCRIPTION}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": wanted}
        actions.append(Create(CONFIGMAP, name, body, tolerate_existing=True))
    elif found.data != wanted:
        body = {"data": dict.fromkeys(found.data) | wanted}
        actions.append(Patch(CONFIGMAP, name, ROOT_CA, body, tolerate_absent=True))
    return Plan(actions)


def _is_active(namespace: Namespace) -> bool:
    return namespace.metadata.deletion_timestamp is None


def account_keys(account: ServiceAccount, _view: View) -> Sequence[Key]:
    return [("", account.metadata.namespace)] if account.metadata.name == "default" else []


def root_ca_keys(config_map: ConfigMap, _view: View) -> Sequence[Key]:
    return [("", config_map.metadata.namespace)] if config_map.metadata.name == ROOT_CA else []


ACCOUNTS = Controller(
    "serviceaccount-controller",
    kind=NAMESPACE,
    plan=plan_accounts,
    watches={SERVICEACCOUNT: account_keys},
    writes=(SERVICEACCOUNT,),
)


def root_ca(certificate: str) -> Controller:
    """The controller that publishes this certificate (PEM)."""
    return Controller(
        "root-ca-certificate-publisher-controller",
        kind=NAMESPACE,
        plan=lambda namespace, view, _now: plan_root_ca(certificate, namespace, view),
        watches={CONFIGMAP: root_ca_keys},
        writes=(CONFIGMAP,),
    )
