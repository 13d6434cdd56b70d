"""Rows: ConfigMap, Secret, ServiceAccount, Namespace, Node, Event."""

from knarr.kinds import registry
from knarr.kinds.lens.config import ConfigMap, Namespace, Secret, ServiceAccount
from knarr.kinds.lens.events import Event, Lease
from knarr.kinds.lens.node import Node

CONFIGMAP = registry.row("", "v1", "ConfigMap", ConfigMap)
SECRET = registry.row("", "v1", "Secret", Secret)
SERVICEACCOUNT = registry.row("", "v1", "ServiceAccount", ServiceAccount)
NAMESPACE = registry.row("", "v1", "Namespace", Namespace)
NODE = registry.row("", "v1", "Node", Node)
EVENT = registry.row("", "v1", "Event", Event)
LEASE = registry.row("coordination.k8s.io", "v1", "Lease", Lease)
