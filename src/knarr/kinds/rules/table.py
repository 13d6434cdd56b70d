"""The table of cross-field checks: which functions judge an object of a kind, and which a change of it.

A check takes the decoded and defaulted object and yields causes; a change takes the new and the old one.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import (
    autoscaling,
    batch,
    certificates,
    config,
    flowcontrol,
    network,
    pod,
    pod_changes,
    rbac,
    service,
    storage,
    storage_classes,
    workloads,
)

Json = dict[str, Any]
Check = Callable[[Json], Iterable[Cause]]
Change = Callable[[Json, Json], Iterable[Cause]]

CHECKS: Final[Mapping[tuple[str, str], tuple[Check, ...]]] = {
    ("", "Pod"): (pod.pod,),
    ("", "PodTemplate"): (workloads.pod_template,),
    ("", "ReplicationController"): (workloads.replication_controller,),
    ("", "ConfigMap"): (config.config_map,),
    ("", "Secret"): (config.secret,),
    ("", "Service"): (service.service,),
    ("", "ResourceQuota"): (config.resource_quota,),
    ("", "LimitRange"): (config.limit_range,),
    ("", "Node"): (config.node,),
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
    ("networking.k8s.io", "Ingress"): (network.ingress,),
    ("networking.k8s.io", "NetworkPolicy"): (network.network_policy,),
    ("discovery.k8s.io", "EndpointSlice"): (network.endpoint_slice,),
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
CHANGES: Final[Mapping[tuple[str, str], tuple[Change, ...]]] = {
    ("", "Pod"): (pod_changes.pod,),
    ("", "PersistentVolume"): (storage.volume_change,),
    ("", "PersistentVolumeClaim"): (storage.claim_change,),
    ("storage.k8s.io", "CSINode"): (storage_classes.node_change,),
}


def of(group: str, kind: str) -> tuple[Check, ...]:
    return CHECKS.get((group, kind), ())


def changes(group: str, kind: str) -> tuple[Change, ...]:
    return CHANGES.get((group, kind), ())
