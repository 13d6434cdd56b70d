"""The small API of the simulation, grown by what a kubelet asks: field selectors, status by strategic merge, tokens.

Pods get the defaults that the API server would give them, and none takes back a container's last end. The
real API server meets the kubelet in e2e.
"""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec

from knarr.base.clock import rfc3339
from knarr.base.errors import Invalid, Unavailable
from knarr.base.ids import Revision
from knarr.client.client import Json, ListResult, PatchType, WatchEvent
from knarr.kinds.core_config import SECRET, SERVICEACCOUNT
from knarr.kinds.core_pod import POD
from knarr.kinds.registry import Kind
from knarr.kinds.rules import pod_status
from tests.simulation.memory_api import MemoryApi, merge


class NodeApi(MemoryApi):
    takes_pods = True
    """While it is False, nobody can write a pod."""

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> ListResult:
        listed = await super().list(kind, namespace)
        return ListResult(tuple(item for item in listed.items if _matches(item, namespace, fields)), listed.revision)

    async def watch(
        self, kind: Kind, namespace: str = "", *, since: Revision, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        async for event in super().watch(kind, since=since):
            if _matches(event.object, namespace, fields):
                yield event

    async def create(self, kind: Kind, namespace: str, body: Json, *, name: str = "", subresource: str = "") -> Json:
        self._must_take(kind)
        if kind == SERVICEACCOUNT and subresource == "token":
            expires = self._clock.now() + timedelta(seconds=body["spec"]["expirationSeconds"])
            bound = body["spec"]["boundObjectRef"]["name"]
            return {"status": {"token": f"token-of-{bound}", "expirationTimestamp": rfc3339(expires)}}
        if kind == POD:
            body = defaulted(body)
        if kind == SECRET:
            texts = body.get("stringData", {}).items()
            body = {**body, "data": {key: base64.b64encode(text.encode()).decode() for key, text in texts}}
        return await super().create(kind, namespace, body, name=name, subresource=subresource)

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: Any, *, patch: PatchType = "merge", subresource: str = ""
    ) -> Json:
        self._must_take(kind)
        if patch == "strategic":
            live = await self.get(kind, namespace, name)
            body = {**body, "status": _strategic(live.get("status", {}), body["status"])}
            revived = [each for each in pod_status.pod_status(body, live) if "may not be transitioned" in each.message]
            if kind == POD and revived:
                raise Invalid(f"{name}: {revived[0].field}: {revived[0].message}")
        return await super().patch(kind, namespace, name, body, subresource=subresource)

    def _must_take(self, kind: Kind) -> None:
        if kind == POD and not self.takes_pods:
            raise Unavailable("connection refused")


def defaulted(pod: Json) -> Json:
    """The defaults that the kubelet relies on."""
    spec = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", **pod["spec"]}
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("imagePullPolicy", "IfNotPresent")
    return {**pod, "spec": spec}


def _strategic(status: Json, changes: Json) -> Json:
    """Conditions merge by type; `$patch: replace` lists are replaced."""
    result = dict(changes)
    for key, value in changes.items():
        if isinstance(value, list) and value and value[0] == {"$patch": "replace"}:
            result[key] = value[1:]
    if "conditions" in changes:
        merged = {one["type"]: one for one in status.get("conditions", ())}
        for one in changes["conditions"]:
            if one.get("$patch") == "delete":
                merged.pop(one["type"], None)
                continue
            merged[one["type"]] = merge(merged.get(one["type"], {}), one)
        result["conditions"] = list(merged.values())
    return result


def _matches(item: bytes, namespace: str, fields: str) -> bool:
    found = msgspec.json.decode(item)
    if namespace and found["metadata"].get("namespace") != namespace:
        return False
    key, _, wanted = fields.partition("=")
    for part in key.split(".") if fields else ():
        found = found.get(part, {})
    return not fields or found == wanted
