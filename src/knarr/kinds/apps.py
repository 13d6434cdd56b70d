"""Rows: Deployment, ReplicaSet, ReplicationController, StatefulSet, DaemonSet."""

from knarr.kinds import registry
from knarr.kinds.lens.apps import Deployment, ReplicaSet, ReplicationController
from knarr.kinds.lens.sets import ControllerRevision, DaemonSet, StatefulSet

DEPLOYMENT = registry.row("apps", "v1", "Deployment", Deployment)
REPLICASET = registry.row("apps", "v1", "ReplicaSet", ReplicaSet)
REPLICATIONCONTROLLER = registry.row("", "v1", "ReplicationController", ReplicationController)
STATEFULSET = registry.row("apps", "v1", "StatefulSet", StatefulSet)
DAEMONSET = registry.row("apps", "v1", "DaemonSet", DaemonSet)
CONTROLLERREVISION = registry.row("apps", "v1", "ControllerRevision", ControllerRevision)
