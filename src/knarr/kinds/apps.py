"""Rows: Deployment, ReplicaSet, ReplicationController, StatefulSet, DaemonSet."""

from knarr.kinds import registry
from knarr.kinds.lens.apps import Deployment, ReplicaSet, ReplicationController

DEPLOYMENT = registry.row("apps", "v1", "Deployment", Deployment)
REPLICASET = registry.row("apps", "v1", "ReplicaSet", ReplicaSet)
REPLICATIONCONTROLLER = registry.row("", "v1", "ReplicationController", ReplicationController)
STATEFULSET = registry.row("apps", "v1", "StatefulSet")
DAEMONSET = registry.row("apps", "v1", "DaemonSet")
CONTROLLERREVISION = registry.row("apps", "v1", "ControllerRevision")
