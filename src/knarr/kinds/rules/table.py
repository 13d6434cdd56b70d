"""The table of cross-field checks: which functions judge an object of a kind, and which a change of it.

A check takes the decoded and defaulted object and yields causes; a change takes the new and the old one. CHECKS hold on
creation and on change, CREATES on creation alone, CHANGES on change, SUBRESOURCES on a write of one of those,
ANNOTATIONS on any write that changes annotations (one that changes nothing else asks no other, but for ANNOTATED).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import (
    autoscaling,
    batch,
    certificates,
    config,
    device_slices,
    devices,
    endpoints,
    events,
    flowcontrol,
    ingress,
    job_status,
    leases,
    network_policy,
    nodes,
    pod,
    pod_annotations,
    pod_certificates,
    pod_changes,
    pod_resize,
    pod_status,
    quotas,
    rbac,
    registrations,
    service,
    service_changes,
    service_ranges,
    statuses,
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
    ("apps", "ControllerRevision"): (workloads.controller_revision,),
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
    ("certificates.k8s.io", "ClusterTrustBundle"): (certificates.trust_bundle,),
    ("certificates.k8s.io", "PodCertificateRequest"): (pod_certificates.request,),
    ("apiregistration.k8s.io", "APIService"): (registrations.api_service,),
    ("storagemigration.k8s.io", "StorageVersionMigration"): (registrations.migration,),
    ("resource.k8s.io", "ResourceClaim"): (devices.claim,),
    ("resource.k8s.io", "ResourceClaimTemplate"): (devices.claim_template,),
    ("resource.k8s.io", "DeviceClass"): (devices.device_class,),
    ("resource.k8s.io", "ResourceSlice"): (device_slices.resource_slice,),
    ("resource.k8s.io", "DeviceTaintRule"): (device_slices.taint_rule,),
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
    ("", "Namespace"): (statuses.namespace_create,),
    ("", "Pod"): (pod_changes.pod_create,),
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
ANNOTATIONS: Final[Changes] = {
    ("", "PersistentVolumeClaim"): (storage.class_annotation,),
    ("", "Pod"): (pod_annotations.change,),
}
# Kinds whose checks read annotations, too: a change of those alone asks all.
ANNOTATED: Final = frozenset((("", "Secret"), ("", "Service")))
# Subresource → kind → what judges a write of it.
SUBRESOURCES: Final[Mapping[str, Changes]] = {
    "status": {
        ("", "Namespace"): (statuses.namespace,),
        ("", "Node"): (nodes.node_status,),
        ("", "PersistentVolumeClaim"): (storage.claim_status,),
        ("", "Pod"): (pod_status.pod_status,),
        ("", "ReplicationController"): (statuses.replicas,),
        ("", "ResourceQuota"): (quotas.quota_status,),
        ("", "Service"): (service_changes.service_status,),
        ("apiregistration.k8s.io", "APIService"): (registrations.api_service_status,),
        ("apps", "DaemonSet"): (statuses.daemon_set,),
        ("apps", "Deployment"): (statuses.deployment,),
        ("apps", "ReplicaSet"): (statuses.replicas,),
        ("apps", "StatefulSet"): (statuses.stateful_set,),
        ("autoscaling", "HorizontalPodAutoscaler"): (statuses.autoscaler,),
        ("batch", "Job"): (job_status.job_status,),
        ("certificates.k8s.io", "PodCertificateRequest"): (pod_certificates.status,),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema"): (statuses.flow,),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): (statuses.flow,),
        ("networking.k8s.io", "Ingress"): (ingress.ingress_status,),
        ("policy", "PodDisruptionBudget"): (statuses.disruption_budget,),
        ("resource.k8s.io", "ResourceClaim"): (devices.claim_status,),
        ("storage.k8s.io", "VolumeAttachment"): (storage_classes.attachment_status,),
        ("storagemigration.k8s.io", "StorageVersionMigration"): (registrations.migration_status,),
    },
    "finalize": {("", "Namespace"): (statuses.namespace_finalizers,)},
    "resize": {("", "Pod"): (pod_resize.resize,)},
}
_NONE: Final[Changes] = {}


def checks(group: str, kind: str) -> tuple[Check, ...]:
    return CHECKS.get((group, kind), ())


def creates(group: str, kind: str) -> tuple[Check, ...]:
    return CREATES.get((group, kind), ())


def changes(group: str, kind: str) -> tuple[Change, ...]:
    return CHANGES.get((group, kind), ())


def of_annotations(group: str, kind: str) -> tuple[Change, ...]:
    return ANNOTATIONS.get((group, kind), ())


def of_subresource(subresource: str, group: str, kind: str) -> tuple[Change, ...]:
    return SUBRESOURCES.get(subresource, _NONE).get((group, kind), ())
