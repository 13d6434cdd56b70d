"""Rows: NodeMetrics and PodMetrics of metrics.k8s.io, which upstream serves by an add-on (metrics-server).

They are in no facts table and have no schema: nothing of them is stored, written or described by OpenAPI. What
answers for them is apiserver/usage.py. Spec: k8s.io/metrics v1beta1.
"""

from typing import Final

from knarr.kinds.registry import Kind

GROUP: Final = "metrics.k8s.io"


def _row(kind: str, plural: str, *, is_namespaced: bool) -> Kind:
    return Kind(
        group=GROUP,
        version="v1beta1",
        kind=kind,
        plural=plural,
        singular="",
        short_names=(),
        categories=(),
        is_namespaced=is_namespaced,
        verbs=("get", "list"),
        subresources={},
        type_name="",
        served_by_default=True,
        storage_prefix=f"{GROUP}/{plural}",
        lens=None,
        facts={"columns": "default"},
    )


NODEMETRICS: Final = _row("NodeMetrics", "nodes", is_namespaced=False)
PODMETRICS: Final = _row("PodMetrics", "pods", is_namespaced=True)
ROWS: Final = (NODEMETRICS, PODMETRICS)
