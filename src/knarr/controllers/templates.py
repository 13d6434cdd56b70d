"""From a pod template, as JSON and whole, to the pod that a controller creates."""

from typing import Any

import msgspec

from knarr.client.client import Json


class _Spec(msgspec.Struct):
    template: dict[str, Any] = msgspec.field(default_factory=dict)


class _Templated(msgspec.Struct):
    spec: _Spec


_decoder = msgspec.json.Decoder(_Templated)


def template(raw: bytes | None) -> Json:
    """spec.template of an object's JSON, with every field that it has."""
    assert raw is not None, "the root of a plan is in its view"
    return _decoder.decode(raw).spec.template


def pod(of: Json, owner: Json, *, name: str = "", generate_name: str = "", labels: Json | None = None) -> Json:
    """The pod that a template describes, owned by `owner`."""
    found = of.get("metadata") or {}
    metadata: Json = {"name": name} if name else {"generateName": generate_name}
    metadata |= {key: found[key] for key in ("annotations", "finalizers") if found.get(key)}
    metadata["labels"] = {**(found.get("labels") or {}), **(labels or {})}
    metadata["ownerReferences"] = [owner]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": of.get("spec") or {}}
