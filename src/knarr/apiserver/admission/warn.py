"""Warnings about what is written, once it is valid. The texts are kinds/warnings.py's and kinds/not_yet.py's."""

from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.kinds import not_yet, warnings


def tell(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """Add the warnings to the answer of a create, or of an update that changed the spec."""
    if context.route.subresource or (old is not None and old.get("spec") == obj.get("spec")):
        return obj
    context.warnings += warnings.of(context.resource.stored, obj, is_new=old is None)
    lack = not_yet.of(context.resource.stored.kind, obj) if old is None else None
    if lack is not None:
        context.warnings.append(f"{lack.lack}; {lack.instead}")
    return obj
