"""ServiceAccount: every pod runs as an account and gets its token, CA and namespace as a volume.

The account of a fresh namespace is made by a controller: `awaited` waits for it within a deadline.
"""

import asyncio
from typing import Any, Final

from knarr.apiserver import status
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.base import ids
from knarr.base.errors import Expired

ACCOUNTS: Final = "/registry/serviceaccounts/"
MOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS: Final = 3607
"""An hour and seven seconds: upstream's mark of a token that admission asked for."""
WAIT_SECONDS: Final = 1.0
MIRROR: Final = "kubernetes.io/config.mirror"


async def awaited(context: RequestContext, obj: Json, old: Json | None) -> None:
    """Wait until the pod's account is there, or the deadline is over. Only `default` comes by itself."""
    if not _is_new_pod(context, old) or _is_mirror(obj) or _account(obj) != "default":
        return
    key = _key(context, obj)
    store = context.server.store
    if store.get(key) is not None:
        return
    watcher = store.watch(key, store.revision)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while store.get(key) is None:
                await watcher.batch()
    except (TimeoutError, Expired, StopAsyncIteration):
        return
    finally:
        watcher.close()


def _is_new_pod(context: RequestContext, old: Json | None) -> bool:
    return old is None and context.resource.stored.kind == "Pod"


def _is_mirror(obj: Json) -> bool:
    return MIRROR in (obj["metadata"].get("annotations") or {})


def _account(obj: Json) -> str:
    spec = obj.get("spec") or {}
    return spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"


def _key(context: RequestContext, obj: Json) -> str:
    return f"{ACCOUNTS}{context.route.namespace}/{_account(obj)}"


def service_account(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """The pod with its account and the account's volume. Raises Forbidden when there is no account."""
    if not _is_new_pod(context, old) or _is_mirror(obj):
        return obj
    name, namespace = _account(obj), context.route.namespace
    entry = context.server.store.get(_key(context, obj))
    if entry is None:
        raise status.forbidden(
            "pods",
            obj["metadata"].get("name", ""),
            f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found',
        )
    account = context.server.resources.of("", "v1", "serviceaccounts").decode_entry(entry)
    spec = {**(obj.get("spec") or {}), "serviceAccountName": name, "serviceAccount": name}
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    if _is_mounted(spec, account):
        spec = with_token(spec)
    return {**obj, "spec": spec}


def _is_mounted(spec: Json, account: Json) -> bool:
    for holder in (spec, account):
        if holder.get("automountServiceAccountToken") is not None:
            return bool(holder["automountServiceAccountToken"])
    return True


def with_token(spec: Json) -> Json:
    """The pod's spec with the projected volume, mounted where no container mounts something itself."""
    volume = f"kube-api-access-{ids.name_suffix()}"
    mount = {"name": volume, "readOnly": True, "mountPath": MOUNT_PATH}
    mounted = dict(spec)
    is_used = False
    for field in ("containers", "initContainers"):
        containers: list[Any] = []
        for container in spec.get(field) or ():
            mounts = container.get("volumeMounts") or []
            if all(each.get("mountPath") != MOUNT_PATH for each in mounts):
                container = {**container, "volumeMounts": [*mounts, mount]}
                is_used = True
            containers.append(container)
        if containers:
            mounted[field] = containers
    if is_used:
        mounted["volumes"] = [*(spec.get("volumes") or ()), _volume(volume)]
    return mounted


def _volume(name: str) -> Json:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "name": name,
        "projected": {
            "defaultMode": 420,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
            ],
        },
    }
