"""ComponentStatus: how the parts of the control plane are, from what /readyz asks; nothing is stored.

Upstream's names, which tools still look for (`kubectl get cs`). Spec: core/v1 ComponentStatus, deprecated.
"""

from collections.abc import Callable, Mapping
from typing import Final

from knarr.apiserver import answers, presenting, selecting, status
from knarr.apiserver.context import Json, RequestContext
from knarr.wire import http

# Component → the check of /readyz that speaks for it.
CHECKS: Final = {"controller-manager": "controllers", "scheduler": "controllers", "etcd-0": "etcd"}


async def components(context: RequestContext) -> http.Response:
    """Get or list of ComponentStatus."""
    chosen, name = selecting.of(context), context.route.name
    found = [one for one in known(context.server.ready_checks) if chosen.matches(answers.encoded(one))]
    found = [one for one in found if not name or one["metadata"]["name"] == name]
    if name and not found:
        raise status.not_found("componentstatuses", name)
    return presenting.unstored(context, found)


def known(checks: Mapping[str, Callable[[], str | None]]) -> list[Json]:
    """The components that there is a check of, by their names."""
    return [_component(name, checks[check]()) for name, check in sorted(CHECKS.items()) if check in checks]


def _component(name: str, wrong: str | None) -> Json:
    condition = {"type": "Healthy", "status": "True", "message": "ok"}
    if wrong is not None:
        condition = {"type": "Healthy", "status": "False", "message": "", "error": wrong}
    metadata: Json = {"name": name, "creationTimestamp": None}
    return {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": metadata, "conditions": [condition]}
