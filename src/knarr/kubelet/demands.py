"""What a pod asks of its node: one integer per resource (milli-units for cpu, bytes, pieces). Pure.

The larger of (all that runs together) and (the worst moment of initialising); what the pod itself requests stands in
the place of its containers' sum, overhead comes on top (docs: Resource Management for Pods; Sidecar Containers). The
scheduler counts alike by its own compiled tables (scheduler/wanted.py).
"""

from collections.abc import Iterable, Mapping

from knarr.kinds.lens.pod import Pod
from knarr.kubelet import members, quantities

Amounts = dict[str, int]


def amounts(texts: Mapping[str, str]) -> Amounts:
    return {name: quantities.milli(text) if name == "cpu" else quantities.whole(text) for name, text in texts.items()}


def requests(pod: Pod) -> Amounts:
    """What the pod needs set aside for it, itself included as one of `pods`."""
    spec = pod.spec
    running = total(amounts(container.resources.requests) for container in spec.containers)
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.init_containers:
        own = amounts(container.resources.requests)
        if members.is_sidecar(container):
            sidecars = total((sidecars, own))
            peak = largest(peak, sidecars)
        else:
            peak = largest(peak, total((sidecars, own)))
    together = largest(total((running, sidecars)), peak)
    if spec.resources is not None:
        together = {**together, **amounts(spec.resources.requests)}
    return total((together, amounts(spec.overhead), {"pods": 1}))


def total(parts: Iterable[Mapping[str, int]]) -> Amounts:
    found: Amounts = {}
    for part in parts:
        for name, amount in part.items():
            found[name] = found.get(name, 0) + amount
    return found


def largest(one: Mapping[str, int], other: Mapping[str, int]) -> Amounts:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}
