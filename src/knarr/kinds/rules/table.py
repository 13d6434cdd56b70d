"""The table of cross-field checks: which functions judge an object of a kind, and which a change of it.

A check takes the decoded and defaulted object and yields causes; a change takes the new and the old one. CHECKS hold on
creation and on change, CREATES on creation alone, CHANGES on change, STATUSES on a change by the status subresource.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import (
    autoscaling,
    batch,
    certificates,
    config,
    endpoints,
    events,
    flowcontrol,
    ingress,
    leases,
    network_policy,
    nodes,
    pod,
    pod_changes,
    quotas,
    rbac,
    service,
    service_changes,
    service_ranges,
    storage,
    storage_classes,
    workloads,
)

Json = dict[str, Any]
Check = Callable[[Json], Iterable[Cause]]
Change = Callable[[Json, Json], Iterable[Cause]]
Checks = Mapping[tuple[str, str], tuple[Check, ...]]
Changes = Mapping[tuple[str, str], tuple[Change, ...]]

CHECKS: Final[Checks] = {
    ("", "Pod"): (pod.pod,),
    ("", "PodTemplate"): (workloads.pod_template,),
    ("", "ReplicationController"): (workloads.replication_controller,),
    ("", "ConfigMap"): (config.config_map,),
    ("", "Secret"): (config.secret,),
    ("", "Service"): (service.service,),
    ("", "Endpoints"): (endpoints.endpoints,),
    ("", "Event"): (events.event,),
    ("", "ResourceQuota"): (quotas.resource_quota,),
    ("", "LimitRange"): (quotas.limit_range,),
    ("", "Node"): (nodes.node,),
    ("", "PersistentVolume"): (storage.volume,),
    ("", "PersistentVolumeClaim"): (storage.claim,),
    ("apps", "Deployment"): (workloads.deployment,),
    ("apps", "ReplicaSet"): (workloads.replica_set,),
    ("apps", "StatefulSet"): (workloads.stateful_set,),
    ("apps", "DaemonSet"): (workloads.daemon_set,),
    ("batch", "Job"): (batch.job,),
    ("batch", "CronJob"): (batch.cron_job,),
    ("policy", "PodDisruptionBudget"): (autoscaling.disruption_budget,),
    ("autoscaling", "HorizontalPodAutoscaler"): (autoscaling.autoscaler,),
    ("networking.k8s.io", "Ingress"): (ingress.ingress,),
    ("networking.k8s.io", "IngressClass"): (ingress.ingress_class,),
    ("networking.k8s.io", "NetworkPolicy"): (network_policy.network_policy,),
    ("networking.k8s.io", "IPAddress"): (service_ranges.ip_address,),
    ("networking.k8s.io", "ServiceCIDR"): (service_ranges.service_cidr,),
    ("discovery.k8s.io", "EndpointSlice"): (endpoints.endpoint_slice,),
    ("coordination.k8s.io", "Lease"): (leases.lease,),
    ("node.k8s.io", "RuntimeClass"): (nodes.runtime_class,),
    ("rbac.authorization.k8s.io", "Role"): (rbac.role,),
    ("rbac.authorization.k8s.io", "ClusterRole"): (rbac.cluster_role,),
    ("rbac.authorization.k8s.io", "RoleBinding"): (rbac.binding,),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (rbac.cluster_binding,),
    ("certificates.k8s.io", "CertificateSigningRequest"): (certificates.signing_request,),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): (flowcontrol.flow_schema,),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): (flowcontrol.priority_level,),
    ("scheduling.k8s.io", "PriorityClass"): (config.priority_class,),
    ("storage.k8s.io", "StorageClass"): (storage_classes.storage_class,),
    ("storage.k8s.io", "VolumeAttributesClass"): (storage_classes.attributes_class,),
    ("storage.k8s.io", "CSIDriver"): (storage_classes.driver,),
    ("storage.k8s.io", "CSINode"): (storage_classes.node,),
    ("storage.k8s.io", "VolumeAttachment"): (storage_classes.attachment,),
    ("storage.k8s.io", "CSIStorageCapacity"): (storage_classes.capacity,),
}
CREATES: Final[Checks] = {
    ("events.k8s.io", "Event"): (events.strict,),
    ("batch", "Job"): (batch.job_create,),
    ("batch", "CronJob"): (batch.cron_job_create,),
    ("networking.k8s.io", "Ingress"): (ingress.ingress_create,),
}
CHANGES: Final[Changes] = {
    ("", "Pod"): (pod_changes.pod,),
    ("", "Node"): (nodes.node_change,),
    ("", "Service"): (service_changes.service_change,),
    ("", "ResourceQuota"): (quotas.quota_change,),
    ("", "PersistentVolume"): (storage.volume_change,),
    ("", "PersistentVolumeClaim"): (storage.claim_change,),
    ("batch", "Job"): (batch.job_change,),
    ("batch", "CronJob"): (batch.cron_job_change,),
    ("events.k8s.io", "Event"): (events.strict_change,),
    ("networking.k8s.io", "ServiceCIDR"): (service_ranges.service_cidr_change,),
    ("storage.k8s.io", "CSINode"): (storage_classes.node_change,),
}
STATUSES: Final[Changes] = {
    ("", "Node"): (nodes.node_status,),
    ("", "ResourceQuota"): (quotas.quota_status,),
    ("", "Service"): (service_changes.service_status,),
    ("networking.k8s.io", "Ingress"): (ingress.ingress_status,),
}


def checks(group: str, kind: str) -> tuple[Check, ...]:
    return CHECKS.get((group, kind), ())


def creates(group: str, kind: str) -> tuple[Check, ...]:
    return CREATES.get((group, kind), ())


def changes(group: str, kind: str) -> tuple[Change, ...]:
    return CHANGES.get((group, kind), ())


def statuses(group: str, kind: str) -> tuple[Change, ...]:
    return STATUSES.get((group, kind), ())
