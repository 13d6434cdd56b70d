"""DefaultIngressClass: a new Ingress that names no class gets the default one."""

from typing import Final

from knarr.apiserver.admission import defaults
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json

CLASSES: Final = "/registry/ingressclasses/"
IS_DEFAULT: Final = ("ingressclass.kubernetes.io/is-default-class",)
OLD_CLASS: Final = "kubernetes.io/ingress.class"


def default_class(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """The class of a new Ingress; one by the old annotation is left alone."""
    if old is not None or context.resource.stored.kind != "Ingress":
        return obj
    spec = obj.get("spec") or {}
    if spec.get("ingressClassName") is not None or OLD_CLASS in (obj["metadata"].get("annotations") or {}):
        return obj
    found = defaults.chosen(context.server.store, CLASSES, IS_DEFAULT)
    return obj if found is None else {**obj, "spec": {**spec, "ingressClassName": found["metadata"]["name"]}}
